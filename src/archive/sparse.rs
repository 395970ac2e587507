//! Files with holes: a map of what is there, and the pieces behind it.

use std::io::{self, Read};
use std::ops::Range;

use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::records::number;
use super::{BLOCK, Data, corrupt, damaged, unreadable};
use crate::error::{Error, ErrorKind, Result};
use crate::tree;

/// More pieces than any real file has; what is kept of them is a megabyte.
const PIECES_MOST: usize = 1 << 16;

/// Where a file has data, in order.
#[derive(Clone, Debug)]
pub(super) struct Map {
    /// Length of the file.
    pub(super) size: u64,
    pieces: Vec<Range<u64>>,
}

impl Map {
    fn new(size: u64) -> Self {
        Self { size, pieces: Vec::new() }
    }

    fn push(&mut self, offset: u64, len: u64) -> Result<()> {
        let from = self.pieces.last().map_or(0, |last| last.end);
        let end = offset.checked_add(len).filter(|end| from <= offset && *end <= self.size);
        let end = end.ok_or_else(|| corrupt("a sparse file's pieces are out of order"))?;
        if self.pieces.len() >= PIECES_MOST {
            let why = format!("a sparse file of more than {PIECES_MOST} pieces");
            return Err(Error::new(ErrorKind::Unsupported, why));
        }
        // GNU tar marks the end by an empty one.
        if len > 0 {
            self.pieces.push(offset..end);
        }
        Ok(())
    }

    /// Bytes that are there.
    pub(super) fn data(&self) -> u64 {
        self.pieces.iter().fold(0, |sum, piece| sum.saturating_add(piece.end - piece.start))
    }

    /// That of GNU's old form: in the header, and in blocks behind it, which are not counted in the
    /// entry's size.
    pub(super) fn of_header(header: &Header, data: &mut Data<'_>) -> Result<Self> {
        let gnu = header.as_gnu().ok_or_else(|| corrupt("a sparse file in no archive of GNU's"))?;
        let mut map = Self::new(gnu.real_size().map_err(damaged)?);
        map.take(&gnu.sparse)?;
        let mut more = gnu.is_extended();
        while more {
            let mut next = GnuExtSparseHeader::new();
            data.from.read_exact(next.as_mut_bytes()).map_err(unreadable)?;
            map.take(next.sparse())?;
            more = next.is_extended();
        }
        map.checked(data.left)
    }

    fn take(&mut self, pieces: &[GnuSparseHeader]) -> Result<()> {
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            self.push(piece.offset().map_err(damaged)?, piece.length().map_err(damaged)?)?;
        }
        Ok(())
    }

    fn checked(self, have: u64) -> Result<Self> {
        if self.data() == have {
            return Ok(self);
        }
        Err(corrupt("a sparse file's pieces are not all there"))
    }
}

/// What records say of a sparse file: the three forms that GNU tar has had with pax.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) name: Option<Vec<u8>>,
    size: Option<u64>,
    major: Option<u64>,
    map: Option<Vec<u64>>,
}

impl Told {
    /// A record's key behind `GNU.sparse.`.
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match key {
            b"realsize" | b"size" => self.size = Some(number(value)?),
            b"major" => self.major = Some(number(value)?),
            b"offset" | b"numbytes" => {
                self.map.get_or_insert_default().push(number(value)?);
            }
            b"map" => {
                let numbers = value.split(|byte| *byte == b',').map(number);
                self.map = Some(numbers.collect::<Result<_>>()?);
            }
            _ => {}
        }
        Ok(())
    }

    /// The map, which the newest form has in front of the data; `None` for a file without holes.
    pub(super) fn map(&self, data: &mut Data<'_>) -> Result<Option<Map>> {
        let Some(size) = self.size else { return Ok(None) };
        let mut map = Map::new(size);
        match (self.major, &self.map) {
            (Some(1), _) => read_map(&mut map, data)?,
            (None | Some(0), Some(numbers)) => {
                for piece in numbers.chunks(2) {
                    let [offset, len] = *piece else {
                        return Err(corrupt("a sparse file's map is damaged"));
                    };
                    map.push(offset, len)?;
                }
            }
            (None | Some(0), None) => return Ok(None),
            (Some(major), _) => {
                let why = format!("a sparse file of the form {major}, which is not known here");
                return Err(Error::new(ErrorKind::Unsupported, why));
            }
        }
        map.checked(data.left).map(Some)
    }
}

/// Numbers in lines: how many pieces, and for each its offset and length; then up to a whole block.
fn read_map(map: &mut Map, data: &mut Data<'_>) -> Result<()> {
    let mut read = 0;
    let count = line(data, &mut read)?;
    for _ in 0..count {
        let (offset, len) = (line(data, &mut read)?, line(data, &mut read)?);
        map.push(offset, len)?;
    }
    let rest = (BLOCK - read % BLOCK) % BLOCK;
    let mut padding = [0; BLOCK];
    let padding = padding.get_mut(..rest).unwrap_or_default();
    data.read_exact(padding).map_err(unreadable)
}

fn line(data: &mut Data<'_>, read: &mut usize) -> Result<u64> {
    let mut text = Vec::new();
    for _ in 0..21 {
        let mut byte = [0];
        data.read_exact(&mut byte).map_err(unreadable)?;
        *read = read.wrapping_add(1);
        if byte == *b"\n" {
            return number(&text);
        }
        text.extend(byte);
    }
    Err(corrupt("a sparse file's map is damaged"))
}

/// A file's content: its data, and zeros where it has holes.
pub(super) struct Content<'c, 'd> {
    data: &'c mut Data<'d>,
    map: Option<&'c Map>,
    at: u64,
    piece: usize,
}

impl<'c, 'd> Content<'c, 'd> {
    pub(super) fn new(data: &'c mut Data<'d>, map: Option<&'c Map>) -> Self {
        Self { data, map, at: 0, piece: 0 }
    }
}

impl tree::Content for Content<'_, '_> {
    fn skip_hole(&mut self) -> u64 {
        let Some((end, false)) = self.stretch() else { return 0 };
        let hole = end.saturating_sub(self.at);
        self.at = end;
        hole
    }
}

impl Content<'_, '_> {
    /// Where what comes next ends, and whether it is data; `None` without a map.
    fn stretch(&mut self) -> Option<(u64, bool)> {
        let map = self.map?;
        while map.pieces.get(self.piece).is_some_and(|piece| piece.end <= self.at) {
            self.piece = self.piece.saturating_add(1);
        }
        Some(match map.pieces.get(self.piece) {
            Some(piece) if piece.start <= self.at => (piece.end, true),
            Some(piece) => (piece.start, false),
            None => (map.size, false),
        })
    }
}

impl Read for Content<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some((end, is_data)) = self.stretch() else { return self.data.read(buf) };
        let left = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = buf.len().min(left);
        let part = buf.get_mut(..most).unwrap_or_default();
        let read = if is_data {
            self.data.read(part)?
        } else {
            part.fill(0);
            part.len()
        };
        self.at = self.at.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}
