//! The blocks of a container that no encoder makes as they are, without the others.

use super::layout::{Class, Entry, LayoutReader};
use super::rebuild::{BlockFrame, Part, encoder_of};
use super::stream::StreamReader;
use super::{ContainerRecipe, Recipe, Stream};
use crate::chunk::ChunkSource;
use crate::error::Result;

impl Recipe {
    /// How many bytes of payloads are kept as they are, and of corrections: what is not stored as records.
    pub fn unsettled_bytes(&self) -> u64 {
        match self {
            Self::Plain(_) => 0,
            Self::Container(recipe) => recipe.payloads.length().saturating_add(recipe.corrections.length()),
        }
    }
}

/// Reads those blocks of a container whose payload is kept as it is, or whose encoder needs corrections. Of the streams only
/// what they consist of is read.
pub struct UnsettledBlocks<S> {
    recipe: ContainerRecipe,
    header: StreamReader<S>,
    layout: LayoutReader<S>,
    records: StreamReader<S>,
    payloads: StreamReader<S>,
    corrections: StreamReader<S>,
    entries: std::vec::IntoIter<Entry>,
}

impl<S: ChunkSource + Clone> UnsettledBlocks<S> {
    /// At the start of the file.
    pub fn new(recipe: &ContainerRecipe, source: S) -> Self {
        let stream = |stream: &Stream| StreamReader::new(stream, source.clone());
        Self {
            header: stream(&recipe.header),
            layout: LayoutReader::new(&recipe.layout, source.clone()),
            records: stream(&recipe.records),
            payloads: stream(&recipe.payloads),
            corrections: stream(&recipe.corrections),
            recipe: recipe.clone(),
            entries: Vec::new().into_iter(),
        }
    }

    /// The header with its marker, once.
    ///
    /// # Errors
    /// Those of the source.
    pub fn header(&mut self) -> Result<Vec<u8>> {
        let mut header = self.header.read_entry(self.header.left())?;
        header.extend_from_slice(&self.recipe.marker);
        Ok(header)
    }

    /// The next of these blocks: its payload, or what the payload is made of.
    ///
    /// # Errors
    /// Those of the source, and damage of the layout.
    pub fn next_block(&mut self) -> Result<Option<Part>> {
        loop {
            let Some(entry) = self.entries.next() else {
                let Some((entries, _)) = self.layout.next_segment()? else { return Ok(None) };
                self.entries = entries.into_iter();
                continue;
            };
            match entry.class {
                Class::Stray => {}
                Class::Records => self.records.skip(entry.length)?,
                Class::Payload => {
                    let frame = BlockFrame::new(&entry, self.recipe.marker);
                    return Ok(Some(Part::Payload { payload: self.payloads.read_entry(entry.length)?, frame }));
                }
                Class::Corrected => {
                    let frame = BlockFrame::new(&entry, self.recipe.marker);
                    let encoder = encoder_of(&self.recipe, entry.encoder)?.to_owned();
                    let plain = self.records.read_entry(entry.length)?;
                    let corrections = Some(self.corrections.read_entry(entry.corrections)?);
                    return Ok(Some(Part::Encode { plain, encoder, corrections, frame }));
                }
            }
        }
    }
}

impl<S> std::fmt::Debug for UnsettledBlocks<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UnsettledBlocks(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CompiledSchema, PayloadDecision, RawBlock, Splitter};
    use super::*;
    use crate::avro::container::{Parsed, parse_header};
    use crate::chunk::{ChunkMap, CutParams};

    #[test]
    fn only_blocks_that_no_encoder_makes_are_read() {
        let head = [&b"Obj\x01\x02\x16avro.schema\x0c\"long\"\x00"[..], &[7; 16]].concat();
        let Parsed::Done(header) = parse_header(&head) else { panic!("no header") };
        let (mut map, mut splitter) =
            (ChunkMap::default(), Splitter::new(CutParams { min: 256, average: 512, max: 2048, align: 0 }));
        splitter.header(&header, CompiledSchema::of(&header).into(), &mut map).unwrap();
        let decode = |plain: &[u8], corrections: Option<&[u8]>| PayloadDecision::Decode {
            plain: Some(plain.to_vec()),
            encoder: if corrections.is_some() { "with" } else { "exact" }.into(),
            corrections: corrections.map(<[u8]>::to_vec),
        };
        for (payload, decision) in [
            ("one", decode(&[2; 1000], None)),
            ("two", PayloadDecision::Keep(None)),
            ("three", decode(&[4; 700], None)),
            ("four", decode(&[6; 800], Some(b"mended"))),
            ("five", PayloadDecision::Keep(None)),
        ] {
            let block = RawBlock { count: 9, odd_head: None, payload: payload.into() };
            splitter.block(block, decision, &mut map).unwrap();
        }
        let recipe = splitter.finish(&mut map).unwrap().recipe;
        assert_eq!(recipe.unsettled_bytes(), 7 + 6);
        let Recipe::Container(recipe) = recipe else { panic!("a container") };
        let mut blocks = UnsettledBlocks::new(&recipe, &map);
        assert_eq!(blocks.header().unwrap(), head);
        let mut met = Vec::new();
        while let Some(part) = blocks.next_block().unwrap() {
            met.push(match part {
                Part::Payload { payload, .. } => String::from_utf8(payload).unwrap(),
                Part::Encode { plain, encoder, corrections, .. } => {
                    assert_eq!((plain, corrections), (vec![6; 800], Some(b"mended".to_vec())));
                    encoder
                }
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(met, ["two", "with", "five"]);
    }
}
