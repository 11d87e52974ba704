//! Parts of a file that were read last, for readers that ask for a few bytes at a time.

use std::sync::Arc;

/// How many bytes are read where fewer are asked for, at first ...
pub(super) const SMALLEST: usize = 64 << 10;
/// ... and where reading goes on from there.
pub(super) const LARGEST: usize = 512 << 10;
/// How many parts are kept.
const KEPT: usize = 3;

/// A part of a file.
#[derive(Debug, Clone)]
pub(super) struct Window {
    pub(super) start: u64,
    pub(super) bytes: Arc<[u8]>,
}

impl Window {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.bytes.len() as u64)
    }

    /// What it holds from this place on, at most so much; none if it does not hold the first of these bytes.
    fn at(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let from = usize::try_from(offset.checked_sub(self.start)?).ok().filter(|from| *from < self.bytes.len())?;
        self.bytes.get(from..self.bytes.len().min(from.saturating_add(length)))
    }
}

/// The parts that were read last, the latest at the end.
#[derive(Debug, Default)]
pub(super) struct Windows(Vec<Window>);

impl Windows {
    /// The part that holds the byte at this place, to copy from.
    pub(super) fn holding(&mut self, offset: u64) -> Option<Window> {
        let at = self.0.iter().position(|window| window.at(offset, 1).is_some())?;
        let window = self.0.remove(at);
        self.0.push(window.clone());
        Some(window)
    }

    /// How many bytes are worth reading from this place on: more where reading goes on from a part that is kept.
    pub(super) fn step(&self, offset: u64) -> usize {
        let before = self.0.iter().find(|window| window.end() == offset);
        before.map_or(SMALLEST, |window| window.bytes.len().saturating_mul(2).clamp(SMALLEST, LARGEST))
    }

    /// Keeps a part, in place of the one that it goes on from, or of the oldest.
    pub(super) fn keep(&mut self, window: Window) {
        let before = self.0.iter().position(|kept| kept.end() == window.start);
        match before {
            Some(at) => drop(self.0.remove(at)),
            None if self.0.len() >= KEPT => drop(self.0.remove(0)),
            None => {}
        }
        self.0.push(window);
    }
}

impl Window {
    /// Copies from this place on; how many bytes that were.
    pub(super) fn copy(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let found = self.at(offset, buffer.len()).unwrap_or_default();
        buffer[..found.len()].copy_from_slice(found);
        found.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: u64, length: usize) -> Window {
        Window { start, bytes: vec![7; length].into() }
    }

    #[test]
    fn what_goes_on_takes_the_place_of_what_came_before_and_grows() {
        let mut windows = Windows::default();
        assert_eq!(windows.step(0), SMALLEST);
        windows.keep(window(0, SMALLEST));
        windows.keep(window(5 << 20, 10));
        assert!(windows.holding(SMALLEST as u64 - 1).is_some() && windows.holding(SMALLEST as u64).is_none());
        assert_eq!(windows.step(SMALLEST as u64), 2 * SMALLEST);
        windows.keep(window(SMALLEST as u64, 2 * SMALLEST));
        assert!(windows.holding(0).is_none() && windows.holding(5 << 20).is_some());
        for far in 10..20 {
            windows.keep(window(far << 20, 10));
        }
        assert_eq!(windows.0.len(), KEPT);
    }
}
