//! The fields of a Protocol Buffers message, of which ONNX files are made. Nothing is copied, and no length is believed.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    /// A whole number, negative ones in two's complement.
    Varint(u64),
    /// A float of 64 bits or a whole number of them.
    Fixed64([u8; 8]),
    /// Text, bytes, a message, or many numbers without gaps.
    Bytes(&'a [u8]),
    /// As `Fixed64`, of 32 bits.
    Fixed32([u8; 4]),
}

impl<'a> Value<'a> {
    /// Of a field that is text, bytes or a message.
    pub(crate) fn bytes(self, what: &str) -> Result<&'a [u8], String> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(format!("{what} has another type than it must")),
        }
    }

    /// Of a field that is text.
    pub(crate) fn text(self, what: &str) -> Result<&'a str, String> {
        std::str::from_utf8(self.bytes(what)?).map_err(|_| format!("{what} is no UTF-8"))
    }

    /// Of a field that is a whole number.
    pub(crate) fn varint(self, what: &str) -> Result<u64, String> {
        match self {
            Self::Varint(number) => Ok(number),
            _ => Err(format!("{what} has another type than it must")),
        }
    }

    /// One whole number, or many without gaps.
    pub(crate) fn varints(self, what: &str, into: &mut Vec<u64>) -> Result<(), String> {
        let mut rest = match self {
            Self::Bytes(bytes) => bytes,
            one => {
                into.push(one.varint(what)?);
                return Ok(());
            }
        };
        while !rest.is_empty() {
            into.push(varint(&mut rest)?);
        }
        Ok(())
    }

    /// Numbers of `N` bytes each, one or many without gaps.
    pub(crate) fn fixed<const N: usize>(self, what: &str, into: &mut Vec<u8>) -> Result<(), String> {
        match &self {
            Self::Fixed32(one) if N == 4 => into.extend(one),
            Self::Fixed64(one) if N == 8 => into.extend(one),
            Self::Bytes(bytes) if bytes.len().is_multiple_of(N) => into.extend(*bytes),
            _ => return Err(format!("{what} has another type than it must")),
        }
        Ok(())
    }
}

/// The fields of a message in the order of the file. After an error there are no more.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), String> {
        let key = varint(&mut self.0)?;
        let (number, kind) = (key >> 3, key & 7);
        if number == 0 || number >= 1 << 29 {
            return Err(format!("no field has the number {number}"));
        }
        let value = match kind {
            0 => Value::Varint(varint(&mut self.0)?),
            1 => Value::Fixed64(array(&mut self.0)?),
            2 => {
                let length = varint(&mut self.0)?;
                let length = usize::try_from(length).ok().filter(|&length| length <= self.0.len());
                let length = length.ok_or("cut off: a field promises more bytes than there are")?;
                let (value, rest) = self.0.split_at(length);
                self.0 = rest;
                Value::Bytes(value)
            }
            5 => Value::Fixed32(array(&mut self.0)?),
            other => return Err(format!("no field has the type {other}")),
        };
        Ok((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// Seven bits a byte, the lowest first; all but the last byte have the eighth.
fn varint(rest: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let [byte] = array(rest)?;
        if shift == 63 && byte > 1 {
            break;
        }
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err("a number of more than 64 bits".into())
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    let (first, after) = rest.split_first_chunk::<N>().ok_or("cut off inside a number")?;
    *rest = after;
    Ok(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u64, Value<'_>)>, String> {
        Fields::new(bytes).collect()
    }

    #[test]
    fn fields_are_as_the_encodings_own_examples() {
        assert_eq!(all(&[0x08, 0x96, 0x01]), Ok(vec![(1, Value::Varint(150))]));
        assert_eq!(all(b"\x12\x07testing"), Ok(vec![(2, Value::Bytes(b"testing"))]));
        let minus_two = [&[0x08][..], &[0xFE], &[0xFF; 8], &[0x01]].concat();
        assert_eq!(all(&minus_two), Ok(vec![(1, Value::Varint(-2i64 as u64))]));
        let floats = [&[0x25][..], &1.5f32.to_le_bytes(), &[0x29], &2.5f64.to_le_bytes()].concat();
        assert_eq!(all(&floats), Ok(vec![(4, Value::Fixed32(1.5f32.to_le_bytes())), (5, Value::Fixed64(2.5f64.to_le_bytes()))]));
        let mut packed = vec![];
        Value::Bytes(&[0x03, 0x8E, 0x02, 0x9E, 0xA7, 0x05]).varints("numbers", &mut packed).unwrap();
        assert_eq!(packed, [3, 270, 86_942]);
    }

    #[test]
    fn damage_is_named_and_ends_the_message() {
        let wrong: [(&[u8], &str); 7] = [
            (&[0x08], "cut off inside a number"),
            (&[0x08, 0x80], "cut off inside a number"),
            (&[0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02], "more than 64 bits"),
            (&[0x12, 0x03, 0x00, 0x00], "promises more bytes"),
            (&[0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], "promises more bytes"),
            (&[0x00, 0x00], "number 0"),
            (&[0x0B, 0x0C], "type 3"),
        ];
        for (bytes, part) in wrong {
            let fields: Vec<_> = Fields::new(bytes).collect();
            assert!(fields.len() == 1 && fields[0].as_ref().unwrap_err().contains(part), "{bytes:?}: {fields:?}");
        }
        assert!(Value::Varint(1).bytes("a name").unwrap_err().contains("a name"));
        assert!(Value::Bytes(&[0xFF]).text("a name").is_err() && Value::Bytes(&[1, 2, 3]).fixed::<4>("floats", &mut vec![]).is_err());
    }
}
