//! Room outside memory for what does not fit: a trait, so that this crate stays without I/O.

/// Scratch space could not be used.
#[derive(Debug, thiserror::Error)]
#[error("scratch space can't be used")]
pub struct ScratchError(#[from] pub std::io::Error);

/// A file of one's own, gone with its owner.
pub trait Scratch: Send {
    /// Appends bytes and returns the offset of the first.
    ///
    /// # Errors
    /// Where they can't be written, for want of room for example; the content is then not to be used.
    fn append(&mut self, bytes: &[u8]) -> Result<u64, ScratchError>;

    /// Fills `buffer` from an offset.
    ///
    /// # Errors
    /// Where the bytes are not there or can't be read.
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), ScratchError>;
}

/// Scratch space in memory, for tests and small jobs.
#[derive(Debug, Default)]
pub struct MemoryScratch(Vec<u8>);

impl Scratch for MemoryScratch {
    fn append(&mut self, bytes: &[u8]) -> Result<u64, ScratchError> {
        let offset = self.0.len() as u64;
        self.0.extend_from_slice(bytes);
        Ok(offset)
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), ScratchError> {
        let missing = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let start = usize::try_from(offset).map_err(|_| missing())?;
        let end = start.checked_add(buffer.len()).ok_or_else(missing)?;
        buffer.copy_from_slice(self.0.get(start..end).ok_or_else(missing)?);
        Ok(())
    }
}
