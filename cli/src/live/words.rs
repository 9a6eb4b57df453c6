//! Numbers and names in bytes that were read from a process. A word that is not there is 0.

/// The word at `offset`.
pub(super) fn word(bytes: &[u8], offset: usize) -> usize {
    let found = bytes.get(offset..offset + size_of::<usize>()).and_then(|bytes| bytes.try_into().ok());
    found.map_or(0, usize::from_le_bytes)
}

/// The four bytes at `offset`.
pub(super) fn half(bytes: &[u8], offset: usize) -> usize {
    let found = bytes.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok());
    found.map_or(0, |bytes| u32::from_le_bytes(bytes) as usize)
}

/// The byte at `offset`.
pub(super) fn byte(bytes: &[u8], offset: usize) -> usize {
    bytes.get(offset).map_or(0, |&byte| usize::from(byte))
}

/// The text up to the first zero, without what a terminal would obey.
pub(super) fn name(bytes: &[u8]) -> String {
    let name = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).replace(char::is_control, "?")
}
