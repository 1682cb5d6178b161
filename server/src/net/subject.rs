//! Who a certificate is for: the parts of its subject by which Thanos tells tenants apart.
//!
//! Only as much of X.509 is read as leads to the subject. The certificate has been verified by then, so what cannot be read is no danger; it
//! has no subject.

/// The first of each part of the subject of a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    /// `CN`.
    pub(crate) common_name: Option<String>,
    /// `O`.
    pub(crate) organization: Option<String>,
    /// `OU`.
    pub(crate) organizational_unit: Option<String>,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT: u8 = 0x06;
/// The version, which may be left out.
const VERSION: u8 = 0xA0;
/// What of a certificate stands before its subject: serial number, algorithm, issuer, validity.
const BEFORE: usize = 4;
/// Text in UTF-8, or in parts of it: `UTF8String`, `PrintableString`, `IA5String`.
const TEXTS: [u8; 3] = [0x0C, 0x13, 0x16];

impl Subject {
    /// Of a certificate in DER; an empty one if there is none to be read.
    pub(crate) fn of(certificate: &[u8]) -> Self {
        Self::read(certificate).unwrap_or_default()
    }

    fn read(certificate: &[u8]) -> Option<Self> {
        let mut signed = part(&mut { certificate }, SEQUENCE)?;
        let mut body = part(&mut signed, SEQUENCE)?;
        if body.first() == Some(&VERSION) {
            next(&mut body)?;
        }
        for _ in 0..BEFORE {
            next(&mut body)?;
        }
        let mut names = part(&mut body, SEQUENCE)?;
        let mut subject = Self::default();
        while !names.is_empty() {
            let mut set = part(&mut names, SET)?;
            while !set.is_empty() {
                let mut pair = part(&mut set, SEQUENCE)?;
                let kind = part(&mut pair, OBJECT)?;
                let (tag, text) = next(&mut pair)?;
                let place = match kind {
                    [0x55, 0x04, 0x03] => &mut subject.common_name,
                    [0x55, 0x04, 0x0A] => &mut subject.organization,
                    [0x55, 0x04, 0x0B] => &mut subject.organizational_unit,
                    _ => continue,
                };
                if let Some(text) = std::str::from_utf8(text).ok().filter(|_| TEXTS.contains(&tag)) {
                    place.get_or_insert_with(|| text.to_owned());
                }
            }
        }
        Some(subject)
    }
}

/// Takes the next element off: its tag and its content.
fn next<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[tag, length], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match length {
        0..=0x7F => (usize::from(length), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7F))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some((tag, content))
}

/// Takes the next element off, which must have this tag.
fn part<'a>(bytes: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    next(bytes).filter(|(found, _)| *found == tag).map(|(_, content)| content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    #[test]
    fn of_a_certificate_and_of_what_is_none() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/tls/client.pem");
        let der = CertificateDer::from_pem_file(path).unwrap();
        let subject = Subject::of(&der);
        let expected = (Some("sarsen test client"), Some("team-a"), None);
        let found = (&subject.common_name, &subject.organization, &subject.organizational_unit);
        assert_eq!((found.0.as_deref(), found.1.as_deref(), found.2.as_deref()), expected);
        for end in 0..der.len() {
            // A piece of it is read as far as it goes, or not at all.
            let part = Subject::of(&der[..end]);
            assert!(part == Subject::default() || part == subject, "{end}");
        }
        let name = |kind: u8, text: &str| {
            let mut pair = vec![OBJECT, 3, 0x55, 4, kind, 0x0C, text.len() as u8];
            pair.extend_from_slice(text.as_bytes());
            wrapped(SET, &wrapped(SEQUENCE, &pair))
        };
        let names = [name(0x0A, "ops"), name(0x0B, "team"), name(0x0B, "other"), name(0x03, "me")].concat();
        let before: Vec<u8> = [SEQUENCE; BEFORE].iter().flat_map(|tag| wrapped(*tag, b"")).collect();
        let body = wrapped(SEQUENCE, &[before, wrapped(SEQUENCE, &names)].concat());
        let expected = |text: &str| Some(text.to_owned());
        let subject = Subject {
            common_name: expected("me"),
            organization: expected("ops"),
            organizational_unit: expected("team"),
        };
        assert_eq!(Subject::of(&wrapped(SEQUENCE, &body)), subject);
    }

    fn wrapped(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, content.len() as u8], content].concat()
    }
}
