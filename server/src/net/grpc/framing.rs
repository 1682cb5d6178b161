//! Messages in the body of a call: a byte that says whether the message is packed, its length in four bytes, the message.
//!
//! Bodies come in pieces that need not end where messages end.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tonic::Status;

use super::pack::{MAX_MESSAGE, Packing};

const HEAD: usize = 5;

/// Counts the messages of a body without keeping anything of it.
#[derive(Debug, Default)]
pub(super) struct Counter {
    head: [u8; HEAD],
    /// Bytes of the next head that are there.
    have: usize,
    /// Bytes of the message that are still to come.
    left: usize,
}

impl Counter {
    /// How many messages begin in `piece`, which follows what was counted before.
    pub(super) fn count(&mut self, mut piece: &[u8]) -> u64 {
        let mut begun = 0;
        loop {
            let skipped = self.left.min(piece.len());
            piece = piece.get(skipped..).unwrap_or_default();
            self.left -= skipped;
            if piece.is_empty() {
                return begun;
            }
            let taken = (HEAD - self.have).min(piece.len());
            let (start, rest) = piece.split_at(taken);
            if let Some(room) = self.head.get_mut(self.have..self.have + taken) {
                room.copy_from_slice(start);
            }
            self.have += taken;
            piece = rest;
            if self.have == HEAD {
                let [_, length @ ..] = self.head;
                self.left = u32::from_be_bytes(length) as usize;
                self.have = 0;
                begun += 1;
            }
        }
    }
}

/// Which way messages are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Pack,
    Unpack,
}

/// Packs or unpacks each message of a body.
#[derive(Debug)]
pub(super) struct Repacker {
    packing: Packing,
    way: Way,
    waiting: BytesMut,
}

impl Repacker {
    pub(super) fn new(packing: Packing, way: Way) -> Self {
        Self { packing, way, waiting: BytesMut::new() }
    }

    /// The messages that are complete with `piece`, changed. One that is as it should be already stays so.
    ///
    /// # Errors
    /// `ResourceExhausted` if one is too large, `Internal` if one is damaged.
    pub(super) fn change(&mut self, piece: &[u8]) -> Result<Bytes, Status> {
        self.waiting.extend_from_slice(piece);
        let mut out = Vec::new();
        while let Some(&[flag, a, b, c, d]) = self.waiting.first_chunk::<HEAD>() {
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            if length > MAX_MESSAGE {
                return Err(Status::resource_exhausted(format!(
                    "grpc: received message larger than max ({length} vs. {MAX_MESSAGE})"
                )));
            }
            if self.waiting.len() - HEAD < length {
                break;
            }
            self.waiting.advance(HEAD);
            let message = self.waiting.split_to(length);
            self.put(flag, &message, &mut out)?;
        }
        Ok(out.into())
    }

    /// Whether no message is cut off.
    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty()
    }

    fn put(&self, flag: u8, message: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
        let start = out.len();
        out.put_slice(&[0; HEAD]);
        let as_it_is = (flag == 0) == (self.way == Way::Unpack);
        match self.way {
            _ if as_it_is => out.put_slice(message),
            Way::Pack => self
                .packing
                .pack(message, out)
                .map_err(|why| Status::internal(format!("grpc: error while compressing: {why}")))?,
            Way::Unpack => {
                let message = self.packing.unpack(message, MAX_MESSAGE).map_err(|why| {
                    Status::internal(format!("grpc: failed to decompress the received message: {why}"))
                })?;
                out.put_slice(&message);
            }
        }
        let length = u32::try_from(out.len() - start - HEAD)
            .map_err(|_| Status::resource_exhausted("grpc: trying to send a message of more than 4 GiB"))?;
        if let Some(mut head) = out.get_mut(start..start + HEAD) {
            head.put_u8(u8::from(self.way == Way::Pack));
            head.put_u32(length);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn body(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut body = Vec::new();
        for message in messages {
            body.put_u8(0);
            body.put_u32(message.len() as u32);
            body.put_slice(message);
        }
        body
    }

    proptest! {
        #[test]
        fn however_a_body_is_cut(
            messages in vec(vec(any::<u8>(), 0..300), 0..8),
            sizes in vec(1usize..40, 1..20),
            which in 0usize..3,
        ) {
            let packing = [Packing::Gzip, Packing::Snappy, Packing::Zstd][which];
            let plain = body(&messages);
            let pieces = |body: &[u8]| {
                let (mut pieces, mut rest, mut sizes) = (Vec::new(), body, sizes.iter().cycle());
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                    pieces.push(piece.to_vec());
                    rest = after;
                }
                pieces
            };
            let mut counter = Counter::default();
            let counted: u64 = pieces(&plain).iter().map(|piece| counter.count(piece)).sum();
            prop_assert_eq!(counted, messages.len() as u64);

            let (mut pack, mut unpack) = (Repacker::new(packing, Way::Pack), Repacker::new(packing, Way::Unpack));
            let mut packed = Vec::new();
            for piece in pieces(&plain) {
                packed.extend_from_slice(&pack.change(&piece).unwrap());
            }
            let mut unpacked = Vec::new();
            for piece in pieces(&packed) {
                unpacked.extend_from_slice(&unpack.change(&piece).unwrap());
            }
            prop_assert!(pack.is_done() && unpack.is_done());
            prop_assert_eq!(unpacked, plain);
        }
    }
}
