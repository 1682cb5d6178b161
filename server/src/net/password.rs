//! Does a password fit a bcrypt hash, as `htpasswd -B` writes them (`$2y$10$...`).
//!
//! Blowfish comes from a crate; the few lines that make bcrypt of it stand here. Comparing takes the same time wherever
//! the two differ.

use blowfish::Blowfish;

use super::base64;

/// The alphabet of bcrypt.
const ALPHABET: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const TEXT: &[u8; 24] = b"OrpheanBeholderScryDoubt";

/// A hash in its parts.
#[derive(Debug, Clone)]
pub(crate) struct PasswordHash {
    cost: u32,
    salt: [u8; 16],
    hash: [u8; 23],
}

impl PasswordHash {
    /// Reads the text form; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('$');
        let (before, version, cost, rest) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let cost: u32 = cost.parse().ok().filter(|cost| (4..=31).contains(cost))?;
        if !before.is_empty()
            || !matches!(version, "2a" | "2b" | "2y")
            || rest.len() != 53
            || parts.next().is_some()
        {
            return None;
        }
        let (salt, hash) = rest.split_at_checked(22)?;
        let part = |text| base64::decode(text, ALPHABET);
        Some(Self { cost, salt: part(salt)?.try_into().ok()?, hash: part(hash)?.try_into().ok()? })
    }

    /// Whether this is the hash of `password`. Takes as long as the cost says: 50 ms and more.
    pub(crate) fn fits(&self, password: &[u8]) -> bool {
        let computed = bcrypt(self.cost, &self.salt, password);
        let difference = computed.iter().zip(&self.hash).fold(0, |all, (a, b)| all | (a ^ b));
        difference == 0
    }
}

fn bcrypt(cost: u32, salt: &[u8; 16], password: &[u8]) -> Vec<u8> {
    // The key is the password with its closing NUL, of which 72 bytes count.
    let key: Vec<u8> = password.iter().copied().chain([0]).take(72).collect();
    let mut state: Blowfish = Blowfish::bc_init_state();
    state.salted_expand_key(salt, &key);
    for _ in 0..1u64 << cost {
        state.bc_expand_key(&key);
        state.bc_expand_key(salt);
    }
    let mut out = Vec::with_capacity(TEXT.len());
    for half in TEXT.chunks_exact(8) {
        let word =
            |at: usize| half.iter().skip(at).take(4).fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        let mut pair = [word(0), word(4)];
        for _ in 0..64 {
            pair = state.bc_encrypt(pair);
        }
        out.extend(pair.iter().flat_map(|word| word.to_be_bytes()));
    }
    out.truncate(23);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hashes() {
        // The first is a published test vector, the others come from libxcrypt.
        for (password, hash) in [
            ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
            ("", "$2b$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq"),
            ("abc", "$2y$05$ABCDEFGHIJKLMNOPQRSTUuVWJrfBwga8a9v97F/n7rEUBXyFPR.SO"),
            (&"0123456789abcdef".repeat(5), "$2a$04$......................Fswp3bq/VCwiYC5/kZ5et0J4eANFZ8i"),
        ] {
            let parsed = PasswordHash::parse(hash).unwrap();
            assert!(parsed.fits(password.as_bytes()), "{password}");
            assert!(!parsed.fits(b"other"), "{password}");
        }
        assert!(
            PasswordHash::parse("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW").is_some()
        );
        for bad in ["", "plain", "$1$05$abc", "$2a$99$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"]
        {
            assert!(PasswordHash::parse(bad).is_none(), "{bad}");
        }
    }
}
