#![expect(unsafe_code, reason = "reads the tables of loaded objects")]
//! A cursor over the bytes of a loaded object, which are constant. Knows DWARF's encodings of numbers; must not know what they mean.

/// See the module. Reads nothing at or behind `end`.
///
/// # Invariants
/// - What lies between `at` and `end` is mapped and readable.
#[derive(Clone, Copy)]
pub(super) struct Reader {
    at: usize,
    end: usize,
}

/// How a pointer is written: the format in the low bits, what it counts from above.
const FORMAT: u8 = 0x0f;
const FORM_ABSOLUTE: u8 = 0x00;
const FORM_ULEB: u8 = 0x01;
const FORM_U16: u8 = 0x02;
const FORM_U32: u8 = 0x03;
const FORM_U64: u8 = 0x04;
const FORM_SLEB: u8 = 0x09;
const FORM_S16: u8 = 0x0a;
const FORM_S32: u8 = 0x0b;
const FORM_S64: u8 = 0x0c;
const BASE: u8 = 0x70;
const BASE_NONE: u8 = 0x00;
const BASE_HERE: u8 = 0x10;
const BASE_DATA: u8 = 0x30;
/// The pointer names the place of the value.
const INDIRECT: u8 = 0x80;
/// There is no pointer.
pub(super) const OMITTED: u8 = 0xff;

impl Reader {
    /// A cursor at `at`, which ends at `end`.
    ///
    /// # Safety
    /// - What lies between is mapped and readable, and stays so.
    pub(super) const unsafe fn new(at: usize, end: usize) -> Self {
        Self { at, end }
    }

    pub(super) const fn position(&self) -> usize {
        self.at
    }

    pub(super) const fn is_done(&self) -> bool {
        self.at >= self.end
    }

    /// The next `len` bytes as a cursor of their own.
    pub(super) fn split(&mut self, len: usize) -> Option<Self> {
        let end = self.at.checked_add(len).filter(|&end| end <= self.end)?;
        let part = Self { at: self.at, end };
        self.at = end;
        Some(part)
    }

    /// A cursor at `at`, which has to lie between `first` and the end of this one.
    pub(super) fn seek(&self, at: usize, first: usize) -> Option<Self> {
        (first <= at && at < self.end).then_some(Self { at, end: self.end })
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let part = self.split(N)?;
        let place = core::ptr::with_exposed_provenance::<[u8; N]>(part.at);
        // SAFETY: within the cursor's bounds, which are readable.
        Some(unsafe { place.read() })
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.bytes().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// A number of any length, seven bits a byte.
    pub(super) fn uleb(&mut self) -> Option<u64> {
        self.leb().map(|(value, _, _)| value)
    }

    /// As [`Reader::uleb`], signed.
    pub(super) fn sleb(&mut self) -> Option<i64> {
        let (value, bits, negative) = self.leb()?;
        let extended = if negative && bits < u64::BITS { value | (u64::MAX << bits) } else { value };
        Some(extended as i64)
    }

    fn leb(&mut self) -> Option<(u64, u32, bool)> {
        const MORE: u8 = 0x80;
        const SIGN: u8 = 0x40;
        const STEP: u32 = 7;
        let (mut value, mut bits) = (0_u64, 0);
        loop {
            let byte = self.u8()?;
            value |= u64::from(byte & !MORE).checked_shl(bits).unwrap_or(0);
            bits = (bits + STEP).min(u64::BITS);
            if byte & MORE == 0 {
                return Some((value, bits, byte & SIGN != 0));
            }
        }
    }

    /// A pointer written as `encoding` says; those that count from data do so from `data`. What an indirect one names is not read:
    /// its place is the answer.
    pub(super) fn pointer(&mut self, encoding: u8, data: usize) -> Option<usize> {
        let here = self.at;
        let value = match encoding & FORMAT {
            FORM_ABSOLUTE | FORM_U64 | FORM_S64 => self.u64()? as usize,
            FORM_ULEB => self.uleb()? as usize,
            FORM_SLEB => self.sleb()? as usize,
            FORM_U16 => usize::from(self.u16()?),
            FORM_S16 => self.u16()? as i16 as usize,
            FORM_U32 => self.u32()? as usize,
            FORM_S32 => self.u32()? as i32 as usize,
            _ => return None,
        };
        let base = match encoding & BASE & !INDIRECT {
            BASE_NONE => 0,
            BASE_HERE => here,
            BASE_DATA => data,
            _ => return None,
        };
        Some(base.wrapping_add(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn over(bytes: &[u8]) -> Reader {
        let start = bytes.as_ptr().expose_provenance();
        // SAFETY: the slice outlives the cursor in these tests.
        unsafe { Reader::new(start, start + bytes.len()) }
    }

    #[test]
    fn numbers_of_any_length() {
        assert_eq!(over(&[0xe5, 0x8e, 0x26]).uleb(), Some(624_485));
        assert_eq!(over(&[0x78]).sleb(), Some(-8));
        assert_eq!(over(&[0x80, 0x7f]).sleb(), Some(-128));
        assert_eq!(over(&[0xff, 0xff]).uleb(), None);
        assert_eq!(over(&[1, 2]).u32(), None);
    }

    proptest! {
        #[test]
        fn no_bytes_lead_outside(bytes: Vec<u8>, encoding: u8) {
            let mut reader = over(&bytes);
            while reader.pointer(encoding, 0).is_some() && reader.sleb().is_some() && !reader.is_done() {}
            prop_assert!(reader.position() <= bytes.as_ptr().addr() + bytes.len());
        }
    }
}
