//! Taking a file apart into header, blocks and stray bytes, as its bytes arrive.

use crate::avro::container::{self, Flaw, Header, MARKER, MAX_BLOCK, MAX_HEADER, Parsed};

/// A part of a file. Put together again, the parts are the file.
#[derive(Debug)]
pub enum Segment {
    /// The header of a container, its marker included. Always the first part.
    Header(Box<Header>),
    /// A block, sound as far as its frame goes.
    Block(RawBlock),
    /// Bytes of a container that belong to no sound block.
    Stray(Vec<u8>),
    /// Bytes of a file that is no container.
    Plain(Vec<u8>),
}

/// A block as it lay in the file.
#[derive(Debug)]
pub struct RawBlock {
    /// How many records it says it holds.
    pub count: u64,
    /// Its two numbers, where they are not in the shortest form.
    pub odd_head: Option<Vec<u8>>,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// What walking the file taught so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Nothing amiss.
    Sound,
    /// No container.
    NotAContainer,
    /// Begins like a container, but its header is none that can be read.
    BadHeader(Option<Flaw>),
    /// It ends within a block.
    Torn,
    /// A block in the middle is not sound.
    Damaged(Flaw),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Blocks,
    /// Behind a block that is not sound: the next marker is looked for.
    Lost,
    Plain,
}

/// Takes one file apart.
#[derive(Debug)]
pub struct Framer {
    buffer: Vec<u8>,
    start: usize,
    place: Place,
    marker: [u8; MARKER],
    finding: Finding,
    /// It makes no sense to look before so many bytes are there.
    wanted: usize,
    containers: bool,
}

/// The longest part of stray or plain bytes that is given at once.
const PART: usize = 1 << 20;

/// What a block may take, with its numbers and its marker.
const MAX_BLOCK_LENGTH: usize = MAX_BLOCK + 2 * crate::avro::varint::MAX_LENGTH + MARKER;

impl Framer {
    /// At the start of a file. Unless `containers` are to be taken apart, every file is plain bytes.
    pub fn new(containers: bool) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            place: if containers { Place::Start } else { Place::Plain },
            marker: [0; MARKER],
            finding: if containers { Finding::Sound } else { Finding::NotAContainer },
            wanted: 1,
            containers,
        }
    }

    /// What was found so far; final once [`next_segment`](Framer::next_segment) gave nothing more at the end.
    pub fn finding(&self) -> Finding {
        self.finding
    }

    /// The next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 && (self.start >= PART || self.start == self.buffer.len()) {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next part, if enough bytes are there; with `end`, no more bytes will come.
    pub fn next_segment(&mut self, end: bool) -> Option<Segment> {
        loop {
            let waiting = self.buffer.len() - self.start;
            if waiting == 0 || (waiting < self.wanted && !end) {
                return None;
            }
            self.wanted = 1;
            match self.place {
                Place::Start => match self.header(end)? {
                    Some(header) => return Some(Segment::Header(Box::new(header))),
                    None => self.place = Place::Plain,
                },
                Place::Blocks => match self.block(end)? {
                    Some(block) => return Some(Segment::Block(block)),
                    None => self.place = Place::Lost,
                },
                Place::Lost => return self.stray(end).map(Segment::Stray),
                Place::Plain => return Some(Segment::Plain(self.take(waiting.min(PART)))),
            }
        }
    }

    /// The header; `Some(None)` if there is none; `None` if more bytes are needed.
    fn header(&mut self, end: bool) -> Option<Option<Header>> {
        let waiting = &self.buffer[self.start..];
        match container::parse_header(waiting) {
            Parsed::Done(header) => {
                self.start += header.length;
                self.marker = header.marker;
                self.place = Place::Blocks;
                Some(Some(header))
            }
            Parsed::More(least) if !end && least <= MAX_HEADER => {
                self.wanted = least.max(2 * waiting.len()).min(MAX_HEADER);
                None
            }
            Parsed::More(_) => {
                self.finding = match waiting.starts_with(&container::MAGIC) {
                    true => Finding::BadHeader(None),
                    false => Finding::NotAContainer,
                };
                Some(None)
            }
            Parsed::Bad(Flaw::Magic) => {
                self.finding = Finding::NotAContainer;
                Some(None)
            }
            Parsed::Bad(flaw) => {
                self.finding = Finding::BadHeader(Some(flaw));
                Some(None)
            }
        }
    }

    /// The block; `Some(None)` if what follows is none; `None` if more bytes are needed.
    fn block(&mut self, end: bool) -> Option<Option<RawBlock>> {
        let waiting = &self.buffer[self.start..];
        match container::parse_block(waiting, &self.marker) {
            Parsed::Done(block) => {
                let odd_head = (!block.canonical).then(|| waiting[..block.header_len].to_vec());
                let payload = waiting[block.payload()].to_vec();
                self.start += block.length();
                Some(Some(RawBlock { count: block.count, odd_head, payload }))
            }
            Parsed::More(least) if !end && least <= MAX_BLOCK_LENGTH => {
                self.wanted = least;
                None
            }
            Parsed::More(_) => {
                if self.finding == Finding::Sound {
                    self.finding = Finding::Torn;
                }
                Some(None)
            }
            Parsed::Bad(flaw) => {
                self.finding = Finding::Damaged(flaw);
                Some(None)
            }
        }
    }

    /// Bytes up to and with the next marker, or as many as certainly hold none.
    fn stray(&mut self, end: bool) -> Option<Vec<u8>> {
        let waiting = &self.buffer[self.start..];
        let looked_at = waiting.len().min(PART);
        let length = match container::find_marker(&waiting[..looked_at], &self.marker) {
            Some(at) => {
                self.place = Place::Blocks;
                at + MARKER
            }
            None if end && looked_at == waiting.len() => looked_at,
            // A marker may begin in the last bytes.
            None => looked_at.saturating_sub(MARKER - 1),
        };
        if length == 0 {
            self.wanted = MARKER;
            return None;
        }
        Some(self.take(length))
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let taken = self.buffer[self.start..self.start + length].to_vec();
        self.start += length;
        taken
    }

    /// Whether containers are looked for at all.
    pub fn looks_for_containers(&self) -> bool {
        self.containers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A container with these payloads.
    pub(crate) fn container(marker: [u8; 16], payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut file = b"Obj\x01\x02\x16avro.schema\x0c\"long\"\x00".to_vec();
        file.extend(marker);
        for payload in payloads {
            container::put_block_header(&mut file, payload.len() as u64, payload.len());
            file.extend(payload);
            file.extend(marker);
        }
        file
    }

    /// The file put together again, and how it was taken apart.
    fn again(file: &[u8], parts: &[usize]) -> (Vec<u8>, String, Finding) {
        let (mut framer, mut bytes, mut kinds, mut at) = (Framer::new(true), Vec::new(), String::new(), 0);
        let mut marker = [0; 16];
        for part in parts.iter().cycle() {
            let end = at == file.len();
            while let Some(segment) = framer.next_segment(end) {
                match segment {
                    Segment::Header(header) => {
                        bytes.extend(header.bytes());
                        bytes.extend(header.marker);
                        marker = header.marker;
                        kinds.push('H');
                    }
                    Segment::Block(block) => {
                        match &block.odd_head {
                            Some(head) => bytes.extend(head),
                            None => container::put_block_header(&mut bytes, block.count, block.payload.len()),
                        }
                        bytes.extend(block.payload);
                        bytes.extend(marker);
                        kinds.push('B');
                    }
                    Segment::Stray(stray) => {
                        bytes.extend(stray);
                        kinds.push('s');
                    }
                    Segment::Plain(plain) => {
                        bytes.extend(plain);
                        kinds.push('p');
                    }
                }
            }
            if end {
                return (bytes, kinds, framer.finding());
            }
            let next = file.len().min(at + part);
            framer.push(&file[at..next]);
            at = next;
        }
        unreachable!()
    }

    proptest! {
        #[test]
        fn the_parts_are_the_file_whatever_was_done_to_it(
            marker: [u8; 16],
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
            parts in prop::collection::vec(1usize..400, 1..4),
            at: prop::sample::Index, to: u8, cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut file = container(marker, &payloads);
            let (bytes, kinds, finding) = again(&file, &parts);
            prop_assert_eq!(&bytes, &file);
            prop_assert_eq!(finding, Finding::Sound);
            prop_assert_eq!(kinds.len(), 1 + payloads.len());
            let place = at.index(file.len());
            file[place] = to;
            if let Some(cut) = cut {
                file.truncate(cut.index(file.len()));
            }
            prop_assert_eq!(&again(&file, &parts).0, &file);
        }

        #[test]
        fn any_bytes_come_back(file: Vec<u8>, parts in prop::collection::vec(1usize..40, 1..4)) {
            prop_assert_eq!(&again(&file, &parts).0, &file);
        }
    }

    #[test]
    fn behind_a_damaged_block_the_next_one_is_found() {
        let mut file = container([7; 16], &[vec![1; 50], vec![2; 50], vec![3; 50]]);
        let second_marker = file.len() - 52 - 16 - 10;
        file[second_marker] ^= 1;
        let (bytes, kinds, finding) = again(&file, &[1000]);
        assert_eq!(bytes, file);
        assert!(kinds.starts_with("HB") && kinds.contains('s'), "{kinds}");
        assert_eq!(finding, Finding::Damaged(Flaw::Marker));
    }
}
