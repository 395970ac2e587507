//! The reader of the text's grammar.
//!
//! `item := key '=' value | key '{' item* '}'`, `value := scalar | '[' scalar,* ']'`; `#` starts a
//! comment, a NUL ends the text. What lvm2 reads otherwise than one would think: a bare word
//! takes `,` and `]` with it, and a number ends where its digits end.

use std::ops::Range;
use std::sync::Arc;

use super::seen::{Known, Sibling};
use super::slice::Slice;
use super::tree::{Array, Body, Gap, Item, Kind, Scalar, Section};
use super::{Document, Line};
use crate::name::bytes::ByteSet;
use crate::units::Bytes;
use crate::{Error, ErrorKind, Result};

/// Sections within sections that are still read; lvm2 itself nests five deep.
const DEPTH: u8 = 16;

/// A text longer than this is refused: lvm2's largest areas hold less.
const LONGEST: usize = 256 << 20;

/// Why a text cannot be read.
#[derive(Debug, thiserror::Error)]
enum Bad {
    #[error("expected a key")]
    Key,
    #[error("expected '=' or '{{' after the key")]
    AfterKey,
    #[error("expected a value")]
    Value,
    #[error("expected ',' or ']' in the array")]
    InArray,
    #[error("the text ends inside a string")]
    OpenString,
    #[error("the text ends inside a section")]
    OpenSection,
    #[error("sections are nested more than {DEPTH} deep")]
    Depth,
    #[error("it is longer than 256 MiB")]
    Long,
}

type Parsed<T> = std::result::Result<T, Bad>;

struct Parser<'t> {
    /// Up to the NUL, where there is one.
    text: &'t str,
    /// What slices share.
    buf: Arc<Box<str>>,
    /// Next byte; always on a character boundary.
    at: usize,
    /// Items and values of what is open, those of what it is in first: what is closed gets a vector
    /// of the right length.
    items: Vec<Item>,
    scalars: Vec<Scalar>,
    /// Where each of the items stands.
    places: Vec<Range<usize>>,
    /// The volume before, and the segment before.
    siblings: [Sibling; 2],
    known: Option<Known<'t>>,
}

/// The section of the physical volumes.
pub(super) const PVS: &str = "physical_volumes";

/// Reads a whole text. Where much may be as in an old one, sections that are the same byte for byte
/// are shared with it.
pub(super) fn document(text: Box<str>, old: Option<&Document>) -> Result<Document> {
    let text = Arc::new(text);
    let mut parser = Parser { known: old.map(Known::of), ..Parser::new(&text) };
    let fit = if text.len() > LONGEST { Err(Bad::Long) } else { Ok(()) };
    fit.and_then(|()| parser.document()).map_err(|bad| parser.error(bad))
}

/// Reads one item, for texts that this program makes.
pub(super) fn item(text: &str) -> Result<Item> {
    let text = Arc::new(text.into());
    let mut parser = Parser::new(&text);
    let blanks = parser.skip().1;
    parser.item(blanks, 0).map_err(|bad| parser.error(bad))
}

/// The bytes that end a word, those of [`is_space`] among them.
static ENDS_WORD: ByteSet = ByteSet::of(b" \t\n\r\x0b\x0c#={}");

fn ends_word(byte: u8) -> bool {
    ENDS_WORD.has(byte)
}

/// C's `isspace`.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// What stands before a closing bracket: a bare word would take the bracket with it. After a last
/// comma nothing need stand there, but the comma is not kept.
pub(super) fn close_after(last: Option<&Scalar>, gap: Gap) -> Gap {
    match last.map(|scalar| scalar.kind) {
        Some(Kind::Bare) if gap == Gap::Tight => Gap::Space,
        _ => gap,
    }
}

/// Which of the siblings is read at that depth, if any.
fn sibling(depth: u8) -> Option<usize> {
    depth.checked_sub(3).map(usize::from).filter(|number| *number < 2)
}

impl<'t> Parser<'t> {
    fn new(buf: &'t Arc<Box<str>>) -> Self {
        Self {
            text: buf.split('\0').next().unwrap_or_default(),
            buf: Arc::clone(buf),
            at: 0,
            items: Vec::new(),
            scalars: Vec::new(),
            places: Vec::new(),
            siblings: Default::default(),
            known: None,
        }
    }

    fn error(&self, bad: Bad) -> Error {
        let before = self.text.get(..self.at).unwrap_or_default();
        let line = before.bytes().filter(|b| *b == b'\n').count().saturating_add(1);
        let byte = Bytes::new(u64::try_from(self.at).unwrap_or(u64::MAX));
        Error::new(ErrorKind::Corrupt, bad)
            .at(format_args!("line {line}, byte {}", byte.get()))
            .op("read the metadata text")
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Goes over the byte that was peeked at.
    fn bump(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.bump();
        }
        found
    }

    fn cut(&self, range: Range<usize>) -> Slice {
        Slice::cut(&self.buf, range)
    }

    /// Goes on while `more` holds.
    fn pass(&mut self, more: impl Fn(u8) -> bool) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|byte| !more(*byte)).unwrap_or(rest.len());
        self.at = self.at.saturating_add(len);
    }

    /// Goes on while `more` holds; the piece gone over.
    fn run(&mut self, more: impl Fn(u8) -> bool) -> Range<usize> {
        let start = self.at;
        self.pass(more);
        start..self.at
    }

    /// Skips white space and comments: what it was, and how many empty lines it held (one less
    /// than its line ends).
    fn skip(&mut self) -> (Gap, u16) {
        let (start, mut lines) = (self.at, 0u16);
        while let Some(byte) = self.peek() {
            match byte {
                b'#' => self.pass(|b| b != b'\n'),
                b'\n' => {
                    // A line that holds a comment alone is not an empty one.
                    let counts = lines == 0 || !self.line_before();
                    lines = lines.saturating_add(u16::from(counts));
                    self.bump();
                }
                b if is_space(b) => self.bump(),
                _ => break,
            }
        }
        let gap = match lines {
            0 if start == self.at => Gap::Tight,
            0 => Gap::Space,
            _ => Gap::Line,
        };
        (gap, lines.saturating_sub(1))
    }

    /// True where the line up to here holds more than white space.
    fn line_before(&self) -> bool {
        let before = self.text.as_bytes().get(..self.at).unwrap_or_default();
        let mut line = before.iter().rev().take_while(|b| **b != b'\n');
        line.any(|b| !is_space(*b))
    }

    fn document(&mut self) -> Parsed<Document> {
        let mut document = Document::default();
        loop {
            self.pass(|b| is_space(b) && b != b'\n');
            match self.peek() {
                None => return Ok(document),
                Some(b'\n') => {
                    document.trailer.push(Line::Empty);
                    self.bump();
                }
                Some(b'#') => {
                    let range = self.run(|b| b != b'\n');
                    document.trailer.push(Line::Comment(self.cut(range)));
                    self.line_end();
                }
                Some(_) => self.top_item(&mut document)?,
            }
        }
    }

    /// One item of the top level, with the comment behind it.
    fn top_item(&mut self, document: &mut Document) -> Parsed<()> {
        let item = self.item(0, 0)?;
        if document.vg.is_none() && item.section().is_some() {
            document.vg = Some(item);
            self.line_end();
            return Ok(());
        }
        let start = self.at;
        self.pass(|b| is_space(b) && b != b'\n');
        let comment = (self.peek() == Some(b'#')).then(|| {
            let end = self.run(|b| b != b'\n').end;
            self.cut(start..end)
        });
        self.line_end();
        document.trailer.push(Line::Item(item, comment));
        Ok(())
    }

    /// Takes the end of this line, if nothing else is left on it.
    fn line_end(&mut self) {
        let start = self.at;
        self.pass(|b| is_space(b) && b != b'\n');
        if !self.eat(b'\n') {
            self.at = start;
        }
    }

    fn item(&mut self, blanks: u16, depth: u8) -> Parsed<Item> {
        let key = self.key()?;
        let before = self.skip().0;
        match self.peek() {
            Some(b'=') => {
                self.bump();
                let tight = self.skip().0 == Gap::Tight && before == Gap::Tight;
                Ok(Item { key, tight, blanks, body: self.value()? })
            }
            Some(b'{') => {
                self.bump();
                let section = match depth {
                    1 if key.as_str() == PVS => self.section_like(&key, depth)?,
                    2 => self.section_like(&key, depth)?,
                    _ => self.section(depth.saturating_add(1), false)?,
                };
                Ok(Item { key, tight: false, blanks, body: Body::Section(section) })
            }
            _ => Err(Bad::AfterKey),
        }
    }

    fn key(&mut self) -> Parsed<Slice> {
        let range = match self.peek() {
            Some(quote @ (b'"' | b'\'')) => self.string(quote)?.1,
            Some(b'[' | b']' | b',') | None => return Err(Bad::Key),
            Some(_) => self.run(|b| !ends_word(b)),
        };
        if range.is_empty() { Err(Bad::Key) } else { Ok(self.cut(range)) }
    }

    /// A section inside of one at `depth` that may be known, or is to be known the next time.
    fn section_like(&mut self, key: &Slice, depth: u8) -> Parsed<Section> {
        let (start, inside) = (self.at, depth.saturating_add(1));
        let rest = self.text.get(start..).unwrap_or_default();
        let known = self.known.as_mut();
        if let Some((section, len)) = known.and_then(|known| known.take(key.as_str(), rest)) {
            self.at = start.saturating_add(len);
            return Ok(section);
        }
        let is_first = self.known.is_none();
        let section = self.section(inside, is_first)?;
        if is_first {
            return Ok(section);
        }
        // Once more with a buffer of its own: it would keep all of this text in memory for as long
        // as it stays the same from one text to the next.
        let own = Arc::new(self.text.get(start..self.at).unwrap_or_default().into());
        Parser::new(&own).section(inside, true)
    }

    /// From behind the opening brace on; where it `is_kept`, its text is known afterwards.
    fn section(&mut self, depth: u8, is_kept: bool) -> Parsed<Section> {
        if depth > DEPTH {
            return Err(Bad::Depth);
        }
        let (start, first) = (self.at, self.items.len());
        loop {
            let blanks = self.skip().1;
            match self.peek() {
                None => return Err(Bad::OpenSection),
                Some(b'}') => {
                    self.bump();
                    let text = is_kept.then(|| self.cut(start..self.at));
                    let section = Section::of(self.items.drain(first..).collect(), blanks, text);
                    let places = self.places.drain(first..);
                    if let Some(sibling) = sibling(depth).and_then(|n| self.siblings.get_mut(n)) {
                        sibling.replace(section.clone(), places);
                    }
                    return Ok(section);
                }
                Some(_) => {
                    let start = self.at;
                    if !self.take_again(first, blanks, depth) {
                        let item = self.item(blanks, depth)?;
                        self.items.push(item);
                    }
                    self.places.push(start..self.at);
                }
            }
        }
    }

    /// Takes the next item of the section whose `first` is that one, where the sibling's is the same.
    fn take_again(&mut self, first: usize, blanks: u16, depth: u8) -> bool {
        let Some(sibling) = sibling(depth).and_then(|n| self.siblings.get(n)) else { return false };
        let index = self.items.len().saturating_sub(first);
        let Some((item, len)) = sibling.item(index, self.text, self.at) else { return false };
        self.items.push(Item { blanks, ..item.clone() });
        self.at = self.at.saturating_add(len);
        true
    }

    fn value(&mut self) -> Parsed<Body> {
        if self.eat(b'[') {
            return Ok(Body::Array(self.array()?));
        }
        Ok(Body::Scalar(self.scalar(Gap::Space)?))
    }

    fn array(&mut self) -> Parsed<Array> {
        let first = self.scalars.len();
        let mut gap = self.skip().0;
        while !self.eat(b']') {
            let scalar = self.scalar(gap)?;
            self.scalars.push(scalar);
            gap = self.skip().0;
            if self.eat(b',') {
                gap = self.skip().0;
            } else if self.peek() != Some(b']') {
                return Err(Bad::InArray);
            }
        }
        let scalars: Arc<[Scalar]> = self.scalars.drain(first..).collect();
        Ok(Array { close: close_after(scalars.last(), gap), scalars })
    }

    fn scalar(&mut self, gap: Gap) -> Parsed<Scalar> {
        let (kind, range) = match self.peek().ok_or(Bad::Value)? {
            b'"' => self.string(b'"')?,
            b'\'' => (Kind::Apostrophed, self.string(b'\'')?.1),
            b'0'..=b'9' | b'+' | b'-' | b'.' => self.number(),
            b'[' | b']' | b',' => return Err(Bad::Value),
            _ => (Kind::Bare, self.run(|b| !ends_word(b))),
        };
        if range.is_empty() {
            return Err(Bad::Value);
        }
        Ok(Scalar { raw: self.cut(range), kind, gap })
    }

    /// Sign, digits, at most one point.
    fn number(&mut self) -> (Kind, Range<usize>) {
        let start = self.at;
        if matches!(self.peek(), Some(b'+' | b'-')) {
            self.bump();
        }
        self.pass(|b| b.is_ascii_digit());
        let kind = if self.eat(b'.') { Kind::Float } else { Kind::Int };
        if kind == Kind::Float {
            self.pass(|b| b.is_ascii_digit());
        }
        (kind, start..self.at)
    }

    /// From quote to quote, both included, and whether a backslash is between them.
    fn string(&mut self, quote: u8) -> Parsed<(Kind, Range<usize>)> {
        let (start, mut kind) = (self.at, Kind::Quoted);
        self.bump();
        loop {
            self.pass(|byte| byte != quote && byte != b'\\');
            match self.peek() {
                None => return Err(Bad::OpenString),
                Some(b'\\') => {
                    kind = Kind::Escaped;
                    self.bump();
                    if quote == b'"' && self.peek().is_some() {
                        self.bump();
                    }
                }
                Some(_) => {
                    self.bump();
                    return Ok((kind, start..self.at));
                }
            }
        }
    }
}
