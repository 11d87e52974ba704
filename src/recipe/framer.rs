//! Taking a file apart into header, blocks and stray bytes, as its bytes arrive.

use crate::avro::container::{self, Flaw, Header, MARKER, MAX_BLOCK, MAX_HEADER, Parsed, put_block_header};

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
    /// The payload, compressed as in the file.
    pub payload: Vec<u8>,
}

impl RawBlock {
    /// How many bytes of the file it takes.
    pub fn length(&self) -> u64 {
        let head = match &self.odd_head {
            Some(head) => head.len(),
            None => {
                let mut head = Vec::with_capacity(20);
                put_block_header(&mut head, self.count, self.payload.len());
                head.len()
            }
        };
        (head + self.payload.len() + MARKER) as u64
    }
}

/// What walking the file taught so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Nothing amiss.
    Sound,
    /// No container.
    NotAContainer,
    /// Begins like a container, but its header cannot be read.
    BadHeader(Option<Flaw>),
    /// It ends within a block.
    Torn,
    /// A block in the middle is not sound.
    Damaged(Flaw),
    /// A header or block is too large for this program, and as far as can be seen it is sound.
    BeyondLimits(Flaw),
}

/// What may stand after the last marker of a sound file: line ends and NULs, which editors, transfers and file systems
/// leave there.
pub fn is_filler(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\n' | b'\r' | 0))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FramerState {
    Start,
    Blocks,
    /// After a block that is not sound: the next marker is looked for.
    Lost,
    Plain,
}

/// Takes one file apart.
#[derive(Debug)]
pub struct Framer {
    buffer: Vec<u8>,
    start: usize,
    place: FramerState,
    marker: [u8; MARKER],
    finding: Finding,
    /// What was found before the place that is lost.
    before: Finding,
    /// How many bytes were given, as parts.
    given: u64,
    /// How many of them stand after the last marker, where no block is.
    tail: u64,
    /// Whether these are nothing but filler.
    only_filler: bool,
    /// Where a block ends that is too large, if its size is true.
    large_end: Option<u64>,
    /// A header that is too large has at least this many bytes, if its lengths are true.
    large_header: Option<(u64, Flaw)>,
    /// The file begins with NULs in place of a magic.
    zeroed: bool,
    /// It makes no sense to look before this many bytes are there.
    wanted: usize,
    containers: bool,
}

/// The longest part of stray or plain bytes that is given at once.
const PART: usize = 1 << 20;

/// The room that is kept after a large block; more is given back.
const KEPT: usize = 16 << 20;

/// How much more than a block that is waited for may lie in the buffer.
const READ_AHEAD: usize = 1 << 20;

/// From this many bytes on, a payload is not copied out of the buffer.
const NOT_COPIED: usize = 8 << 20;

/// What a block may take, with its numbers and its marker.
const MAX_BLOCK_LENGTH: usize = MAX_BLOCK + 2 * crate::avro::varint::MAX_LENGTH + MARKER;

impl Framer {
    /// At the start of a file. Unless `containers` are to be taken apart, every file is plain bytes.
    pub fn new(containers: bool) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            place: if containers { FramerState::Start } else { FramerState::Plain },
            marker: [0; MARKER],
            finding: if containers { Finding::Sound } else { Finding::NotAContainer },
            before: Finding::Sound,
            given: 0,
            tail: 0,
            only_filler: true,
            large_end: None,
            large_header: None,
            zeroed: false,
            wanted: 1,
            containers,
        }
    }

    /// What was found so far; final once [`next_segment`](Framer::next_segment) gave nothing more at the end.
    pub fn finding(&self) -> Finding {
        match (self.finding, self.large_header) {
            // A length that leads beyond the end of the file says nothing about how large the header is.
            (_, Some((least, _))) if least > self.given => Finding::BadHeader(None),
            (_, Some((_, flaw))) => Finding::BeyondLimits(flaw),
            _ if self.place == FramerState::Lost && self.tail > 0 && self.only_filler => self.before,
            (Finding::Damaged(Flaw::TooLarge { .. }), _)
                if self.place == FramerState::Lost && self.large_end.is_some_and(|end| end > self.given) =>
            {
                self.worse(Finding::Torn)
            }
            (finding, _) => finding,
        }
    }

    /// How many bytes stand after the last marker where no block is; final as [`finding`](Framer::finding) is.
    pub fn stray_bytes(&self) -> u64 {
        if self.place == FramerState::Lost { self.tail } else { 0 }
    }

    /// Whether the file begins with NULs: what a crash leaves of one that was not written out.
    pub fn is_zeroed(&self) -> bool {
        self.zeroed
    }

    /// The worse of what was found before and `now`.
    fn worse(&self, now: Finding) -> Finding {
        match self.before {
            damaged @ Finding::Damaged(_) => damaged,
            _ => now,
        }
    }

    /// The next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 && (self.start >= PART || self.start == self.buffer.len()) {
            self.buffer.drain(..self.start);
            self.start = 0;
            if self.buffer.capacity() > KEPT && self.buffer.len() <= PART {
                self.buffer.shrink_to(2 * PART);
            }
        }
        let length = self.buffer.len() + bytes.len();
        if length > self.buffer.capacity() {
            // Doubled, but not beyond what the block takes that is waited for.
            let room = (self.start + self.wanted + READ_AHEAD).min(2 * length).max(length);
            self.buffer.reserve_exact(room - self.buffer.len());
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
                FramerState::Start => match self.header(end)? {
                    Some(header) => return Some(Segment::Header(Box::new(header))),
                    None => self.place = FramerState::Plain,
                },
                FramerState::Blocks => match self.block(end)? {
                    Some(block) => return Some(Segment::Block(block)),
                    None => (self.place, self.tail, self.only_filler) = (FramerState::Lost, 0, true),
                },
                FramerState::Lost => return self.stray(end).map(Segment::Stray),
                FramerState::Plain => return Some(Segment::Plain(self.take(waiting.min(PART)))),
            }
        }
    }

    /// The header; `Some(None)` if there is none; `None` if more bytes are needed.
    fn header(&mut self, end: bool) -> Option<Option<Header>> {
        let waiting = &self.buffer[self.start..];
        match container::parse_header(waiting) {
            Parsed::Done(header) => {
                self.start += header.length;
                self.given += header.length as u64;
                self.marker = header.marker;
                self.place = FramerState::Blocks;
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
            Parsed::Bad(flaw @ (Flaw::Magic | Flaw::OldFormat)) => {
                self.zeroed = waiting.starts_with(&[0; 4]);
                self.finding = match container::lacks_only_magic(waiting) {
                    true => Finding::BadHeader(Some(Flaw::Magic)),
                    false if flaw == Flaw::Magic => Finding::NotAContainer,
                    false => Finding::BadHeader(Some(flaw)),
                };
                Some(None)
            }
            Parsed::Bad(flaw @ Flaw::HeaderTooLarge { least }) => {
                self.large_header = Some((least as u64, flaw));
                Some(None)
            }
            Parsed::Bad(flaw) => {
                self.finding = Finding::BadHeader(Some(flaw));
                Some(None)
            }
        }
    }

    /// The block; `Some(None)` if what follows is not a block; `None` if more bytes are needed.
    fn block(&mut self, end: bool) -> Option<Option<RawBlock>> {
        let waiting = &self.buffer[self.start..];
        match container::parse_block(waiting, &self.marker) {
            Parsed::Done(block) => {
                let odd_head = (!block.canonical).then(|| waiting[..block.header_len].to_vec());
                let count = block.count;
                let payload = self.take_payload(block.header_len, block.payload_len);
                Some(Some(RawBlock { count, odd_head, payload }))
            }
            Parsed::More(least) if !end && least <= MAX_BLOCK_LENGTH => {
                self.wanted = least;
                None
            }
            Parsed::More(_) => {
                self.before = self.finding;
                self.finding = self.worse(Finding::Torn);
                Some(None)
            }
            Parsed::Bad(flaw) => {
                self.before = self.finding;
                self.finding = self.worse(Finding::Damaged(flaw));
                self.large_end = match flaw {
                    Flaw::TooLarge { size, header_len } => {
                        Some(self.given + header_len as u64 + size.unsigned_abs() + MARKER as u64)
                    }
                    _ => None,
                };
                Some(None)
            }
        }
    }

    /// Takes the payload of the block that begins here, and what stands around it.
    fn take_payload(&mut self, header_len: usize, payload_len: usize) -> Vec<u8> {
        let begin = self.start + header_len;
        let end = begin + payload_len;
        self.given += (header_len + payload_len + MARKER) as u64;
        if payload_len < NOT_COPIED {
            self.start = end + MARKER;
            return self.buffer[begin..end].to_vec();
        }
        // One such block may be a good part of the memory there is.
        let rest = self.buffer.split_off(end + MARKER);
        let mut payload = std::mem::replace(&mut self.buffer, rest);
        payload.truncate(end);
        payload.drain(..begin);
        self.start = 0;
        payload
    }

    /// Bytes up to and with the next marker, or as many as certainly hold none.
    fn stray(&mut self, end: bool) -> Option<Vec<u8>> {
        let waiting = &self.buffer[self.start..];
        let looked_at = waiting.len().min(PART);
        let length = match container::find_marker(&waiting[..looked_at], &self.marker) {
            Some(at) => {
                self.place = FramerState::Blocks;
                // It only seemed to end within a block: its size is damaged.
                if self.finding == Finding::Torn {
                    self.finding = self.worse(Finding::Damaged(Flaw::Marker));
                }
                // The marker stands where a block of that size ends, so it is nothing but large.
                if let (Some(end), Finding::Damaged(flaw @ Flaw::TooLarge { .. })) = (self.large_end, self.finding)
                    && end == self.given + (at + MARKER) as u64
                {
                    self.finding = self.worse(Finding::BeyondLimits(flaw));
                }
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
        let taken = self.take(length);
        self.tail += taken.len() as u64;
        self.only_filler &= is_filler(&taken);
        Some(taken)
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let taken = self.buffer[self.start..self.start + length].to_vec();
        self.start += length;
        self.given += length as u64;
        taken
    }

    /// How many bytes must be there before the next part can be given; 1 if that is not known.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// Whether containers are looked for at all.
    pub fn looks_for_containers(&self) -> bool {
        self.containers
    }
}

#[cfg(test)]
mod tests;
