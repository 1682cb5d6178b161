//! The wire format of protobuf: tags, varints, fields, and the shape of messages that are only checked.
//!
//! Reads what Go's generated code reads: varints of up to ten bytes whatever their last bits, unknown fields skipped, groups
//! skipped if balanced; and refuses what it refuses: a known field of another wire type, a field number of zero, an end of
//! group that nothing began, a length past the end.

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("protobuf decode error at offset {offset}: {what}")]
#[cfg_attr(not(feature = "receive"), allow(unreachable_pub, reason = "remote write shows it"))]
pub struct ProtoError {
    /// Offset in the whole message.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// A cursor over the message `whole`; it stands at `at` and must not pass `end`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    whole: &'a [u8],
    pub(super) at: usize,
    pub(super) end: usize,
}

/// How a field's content is laid out on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WireType {
    Varint,
    Fixed64,
    Bytes,
    Group,
    Fixed32,
}

/// What is known about a field of a message that is checked but not read.
pub(super) enum Shape {
    Varint,
    Fixed64,
    Bytes,
    Message(&'static [(u32, Shape)]),
    /// Packed or one by one.
    Varints,
    /// Packed or one by one.
    Fixed64s,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(whole: &'a [u8]) -> Self {
        Self { whole, at: 0, end: whole.len() }
    }

    #[cold]
    pub(super) const fn fault(&self, what: &'static str) -> ProtoError {
        ProtoError { offset: self.at, what }
    }

    #[inline]
    pub(super) const fn is_done(&self) -> bool {
        self.at >= self.end
    }

    /// The bytes from where it stands to the end.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.whole.get(self.at..self.end).unwrap_or_default()
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, ProtoError> {
        match self.rest().first() {
            Some(&byte) => {
                self.at += 1;
                Ok(byte)
            }
            None => Err(self.fault("unexpected end")),
        }
    }

    /// An unsigned varint; bits past the 64th are dropped, an eleventh byte is a fault.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, ProtoError> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7F);
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.fault("a varint of more than ten bytes"))
    }

    /// A field's number and wire type.
    #[inline]
    pub(super) fn tag(&mut self) -> Result<(u32, WireType), ProtoError> {
        let tag = self.varint()?;
        // Go keeps the low 32 bits of the field number, as a signed number.
        let number = (tag >> 3) as u32;
        if number == 0 || number > i32::MAX as u32 {
            return Err(self.fault("an illegal field number"));
        }
        let wire_type = match tag & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Bytes,
            3 => WireType::Group,
            5 => WireType::Fixed32,
            4 => return Err(self.fault("an end of group that nothing began")),
            _ => return Err(self.fault("an illegal wire type")),
        };
        Ok((number, wire_type))
    }

    /// The content of a length-delimited field, as a cursor of its own; this one stands behind it.
    #[inline]
    pub(super) fn message(&mut self) -> Result<Self, ProtoError> {
        let length = self.varint()?;
        let left = self.end - self.at;
        match usize::try_from(length) {
            Ok(length) if length <= left => {
                let inner = Self { whole: self.whole, at: self.at, end: self.at + length };
                self.at += length;
                Ok(inner)
            }
            _ => Err(self.fault("a length past the end")),
        }
    }

    /// Eight bytes, little-endian.
    #[inline]
    pub(super) fn fixed64(&mut self) -> Result<u64, ProtoError> {
        match self.rest().first_chunk() {
            Some(bytes) => {
                self.at += 8;
                Ok(u64::from_le_bytes(*bytes))
            }
            None => Err(self.fault("unexpected end")),
        }
    }

    fn skip_bytes(&mut self, n: usize) -> Result<(), ProtoError> {
        if n > self.end - self.at {
            return Err(self.fault("unexpected end"));
        }
        self.at += n;
        Ok(())
    }

    /// Passes over the content of a field nobody knows. Groups may be nested; depth costs no stack.
    pub(super) fn skip(&mut self, wire_type: WireType) -> Result<(), ProtoError> {
        match wire_type {
            WireType::Varint => self.varint().map(drop),
            WireType::Fixed64 => self.skip_bytes(8),
            WireType::Fixed32 => self.skip_bytes(4),
            WireType::Bytes => self.message().map(drop),
            WireType::Group => {
                let mut depth = 1u64;
                while depth > 0 {
                    let tag = self.varint()?;
                    match tag & 7 {
                        0 => drop(self.varint()?),
                        1 => self.skip_bytes(8)?,
                        2 => drop(self.message()?),
                        3 => depth += 1,
                        4 => depth -= 1,
                        5 => self.skip_bytes(4)?,
                        _ => return Err(self.fault("an illegal wire type")),
                    }
                }
                Ok(())
            }
        }
    }

    /// Reads the whole message and checks that it has the shape of `fields`; unknown fields may be among them.
    pub(super) fn check(mut self, fields: &'static [(u32, Shape)]) -> Result<(), ProtoError> {
        while !self.is_done() {
            let (number, wire_type) = self.tag()?;
            let Some((_, shape)) = fields.iter().find(|(known, _)| *known == number) else {
                self.skip(wire_type)?;
                continue;
            };
            match (shape, wire_type) {
                (Shape::Varint | Shape::Varints, WireType::Varint) => drop(self.varint()?),
                (Shape::Fixed64 | Shape::Fixed64s, WireType::Fixed64) => drop(self.fixed64()?),
                (Shape::Bytes, WireType::Bytes) => drop(self.message()?),
                // The shapes are finite trees written in this crate, so this goes two or three deep.
                (Shape::Message(inner), WireType::Bytes) => self.message()?.check(inner)?,
                (Shape::Varints, WireType::Bytes) => {
                    let mut packed = self.message()?;
                    while !packed.is_done() {
                        packed.varint()?;
                    }
                }
                (Shape::Fixed64s, WireType::Bytes) => {
                    let mut packed = self.message()?;
                    while !packed.is_done() {
                        packed.fixed64()?;
                    }
                }
                _ => return Err(self.fault("a field of the wrong wire type")),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_as_go_reads_them() {
        let read = |bytes: &[u8]| Cursor::new(bytes).varint();
        assert_eq!(read(&[0xAC, 0x02]).unwrap(), 300);
        assert_eq!(read(&[0xFF; 9].iter().copied().chain([0x7F]).collect::<Vec<_>>()).unwrap(), u64::MAX);
        assert!(read(&[0xFF; 11]).is_err());
        assert!(read(&[0x80]).is_err());
    }

    #[test]
    fn groups_are_skipped_if_balanced() {
        // Group 5 { varint 1 = 7, group 6 {} }
        let bytes = [0x2B, 0x08, 7, 0x33, 0x34, 0x2C];
        let mut cursor = Cursor::new(&bytes);
        let (number, wire_type) = cursor.tag().unwrap();
        assert_eq!((number, wire_type), (5, WireType::Group));
        cursor.skip(wire_type).unwrap();
        assert!(cursor.is_done());
        assert!(Cursor::new(&bytes[..5]).check(&[]).is_err());
        assert!(Cursor::new(&[0x2C]).check(&[]).is_err());
    }

    #[test]
    fn a_known_field_of_another_type_is_a_fault() {
        assert!(Cursor::new(&[0x08, 1]).check(&[(1, Shape::Bytes)]).is_err());
        assert!(Cursor::new(&[0x08, 1]).check(&[(2, Shape::Bytes)]).is_ok());
        assert!(Cursor::new(&[0x0A, 2, 1, 0x81]).check(&[(1, Shape::Varints)]).is_err());
    }
}
