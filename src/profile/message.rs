//! Messages of protocol buffers, built in a buffer of fixed size. Knows the encoding of fields; must not know what they
//! mean.

const VARINT: u64 = 0;
const BYTES: u64 = 2;

/// A message being built. If a field does not fit, the whole message is empty.
pub(super) struct Message<'a> {
    bytes: &'a mut [u8],
    len: usize,
    whole: bool,
}

impl<'a> Message<'a> {
    /// An empty message in `bytes`.
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, len: 0, whole: true }
    }

    /// A number field; zero is the default and is not written.
    pub(super) fn number(&mut self, field: u64, value: u64) -> &mut Self {
        if value != 0 {
            self.varint(field << 3 | VARINT);
            self.varint(value);
        }
        self
    }

    /// Begins a field of so many bytes.
    pub(super) fn begin(&mut self, field: u64, len: usize) -> &mut Self {
        self.varint(field << 3 | BYTES);
        self.varint(len as u64);
        self
    }

    /// Adds bytes as they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        match self.bytes.get_mut(self.len..self.len + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.whole = false,
        }
        self
    }

    /// A field of bytes.
    pub(super) fn field(&mut self, field: u64, bytes: &[u8]) -> &mut Self {
        self.begin(field, bytes.len()).raw(bytes)
    }

    /// A number of a packed field, or of a field that was begun.
    pub(super) fn varint(&mut self, mut value: u64) -> &mut Self {
        const MORE: u8 = 0x80;
        while value >= u64::from(MORE) {
            self.raw(&[value as u8 | MORE]);
            value >>= 7;
        }
        self.raw(&[value as u8])
    }

    /// The bytes of the message; none if a field did not fit.
    pub(super) fn finish(&self) -> &[u8] {
        if self.whole { self.bytes.get(..self.len).unwrap_or(&[]) } else { &[] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_the_format_says() {
        let mut room = [0; 32];
        let mut message = Message::new(&mut room);
        message.number(1, 150).number(2, 0).field(2, b"testing").begin(4, 3).varint(3).varint(270);
        let expected = [&[0x08, 0x96, 0x01, 0x12, 0x07][..], b"testing", &[0x22, 3, 3, 0x8e, 0x02]].concat();
        assert_eq!(message.finish(), expected);
    }

    #[test]
    fn a_message_that_does_not_fit_is_empty() {
        let mut room = [0; 4];
        assert_eq!(Message::new(&mut room).field(1, b"long text").finish(), b"");
    }
}
