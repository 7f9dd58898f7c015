//! An output: a file that only grows, within what all outputs of a task may take.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::rc::Rc;

/// Written at once.
const WRITE_BYTES: usize = 256 * 1_024;

/// Bytes that all outputs of a task may still take.
#[derive(Clone, Debug)]
pub struct Budget(Rc<Cell<u64>>);

impl Budget {
    /// So many.
    pub fn new(bytes: u64) -> Budget {
        Budget(Rc::new(Cell::new(bytes)))
    }
}

/// See the module.
#[derive(Debug)]
pub struct Blob {
    file: File,
    budget: Budget,
}

impl Blob {
    /// `file` is empty.
    pub fn new(file: File, budget: &Budget) -> BufWriter<Blob> {
        BufWriter::with_capacity(WRITE_BYTES, Blob { file, budget: budget.clone() })
    }
}

impl Write for Blob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.budget.0.get().checked_sub(bytes.len() as u64);
        let left = left.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let len = self.file.write(bytes)?;
        self.budget.0.set(left + (bytes.len() - len) as u64);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_share_what_they_may_take() {
        let budget = Budget::new(10);
        let mut blobs = [(); 2].map(|()| Blob::new(tempfile::tempfile().expect("a temporary folder"), &budget));
        let [first, second] = &mut blobs;
        first.write_all(&[0; 6]).and_then(|()| first.flush()).expect("six of ten");
        second.write_all(&[0; 4]).and_then(|()| second.flush()).expect("the other four");
        second.write_all(&[0]).expect("into memory");
        assert_eq!(second.flush().map_err(|error| error.kind()), Err(io::ErrorKind::FileTooLarge));
    }
}
