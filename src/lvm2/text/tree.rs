//! The tree: sections of items, each a value, an array or a section.

use std::borrow::Cow;
use std::sync::Arc;

use super::parse::close_after;
use super::seen::Texts;
use super::slice::{Common, Slice};

/// White space as found before a token; only its sort matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// None.
    Tight,
    /// Blanks within the line.
    Space,
    /// At least one line end.
    Line,
}

/// What a scalar is, by how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Digits, perhaps with a sign.
    Int,
    /// Digits with a point.
    Float,
    /// `"..."`, no backslash between the quotes.
    Quoted,
    /// The same with some: one before a quote or a backslash is removed.
    Escaped,
    /// `'...'`: taken as it is.
    Apostrophed,
    /// A word without quotes.
    Bare,
}

/// One value, kept as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    pub(super) raw: Slice,
    pub(super) kind: Kind,
    /// What stood before it in an array.
    pub(super) gap: Gap,
}

/// A flat array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    pub(super) scalars: Arc<[Scalar]>,
    /// What stood before the closing bracket.
    pub(super) close: Gap,
}

/// What a key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// `key = value`.
    Scalar(Scalar),
    /// `key = [ ... ]`.
    Array(Array),
    /// `key { ... }`.
    Section(Section),
}

/// A key and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub(super) key: Slice,
    /// No white space around `=`, as lvm2 writes what it does not know.
    pub(super) tight: bool,
    /// Empty lines before it.
    pub(super) blanks: u16,
    pub(super) body: Body,
}

/// Items in order. A clone shares them until one side is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    items: Arc<Items>,
    /// Empty lines before the closing brace.
    pub(super) close_blanks: u16,
}

/// Items, and texts that are known of them.
#[derive(Debug, Default)]
struct Items {
    list: Vec<Item>,
    texts: Texts,
}

impl Clone for Items {
    /// To be changed.
    fn clone(&self) -> Self {
        Self { list: self.list.clone(), texts: Texts::default() }
    }
}

impl PartialEq for Items {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl Eq for Items {}

/// Removes the backslashes that protect a quote or a backslash.
fn unescape(text: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let protected = letters.next_if(|next| letter == '\\' && matches!(next, '"' | '\\'));
        out.push(protected.unwrap_or(letter));
    }
    Cow::Owned(out)
}

/// The text in double quotes, as LVM2 writes it.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len().saturating_add(2));
    out.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('"');
    out
}

/// A number as most are: a few digits, the first no zero.
fn short_number(raw: &str) -> Option<i64> {
    let is_short = (1..=18).contains(&raw.len()) && (!raw.starts_with('0') || raw.len() == 1);
    let add = |number: i64, byte: u8| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte & 15))?;
        Some(number.wrapping_mul(10).wrapping_add(digit))
    };
    is_short.then(|| raw.bytes().try_fold(0, add)).flatten()
}

/// `raw` without its first and last byte.
fn inside(raw: &str) -> &str {
    raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default()
}

impl Scalar {
    /// A string, in double quotes.
    pub(crate) fn string(text: &str) -> Self {
        let raw = quote(text);
        let kind = if raw.contains('\\') { Kind::Escaped } else { Kind::Quoted };
        Self { raw: Slice::from(&*raw), kind, gap: Gap::Space }
    }

    /// A whole number.
    pub(crate) fn number(value: u64) -> Self {
        Self { raw: Slice::from(&*value.to_string()), kind: Kind::Int, gap: Gap::Space }
    }

    /// The text of a string or a bare word, without quotes.
    pub fn as_str(&self) -> Option<Cow<'_, str>> {
        let raw = self.raw.as_str();
        match self.kind {
            Kind::Quoted | Kind::Apostrophed => Some(Cow::Borrowed(inside(raw))),
            Kind::Escaped => Some(unescape(inside(raw))),
            Kind::Bare => Some(Cow::Borrowed(raw)),
            Kind::Int | Kind::Float => None,
        }
    }

    /// The same to be kept, which copies nothing where the word is known to this program.
    pub(crate) fn to_word(&self) -> Option<Cow<'static, str>> {
        match (&self.raw, self.kind) {
            (Slice::Known(word), Kind::Quoted) => Some(Cow::Borrowed(inside(word.as_str()))),
            _ => self.as_str().map(|text| Cow::Owned(text.into_owned())),
        }
    }

    /// The whole number: as lvm2 reads it, octal where it starts with a zero.
    pub fn as_int(&self) -> Option<i64> {
        if self.kind != Kind::Int {
            return None;
        }
        let raw = self.raw.as_str();
        if let Some(number) = short_number(raw) {
            return Some(number);
        }
        let raw = raw.strip_prefix('+').unwrap_or(raw);
        let digits = raw.strip_prefix('-').unwrap_or(raw);
        let octal = digits.len() > 1 && digits.starts_with('0');
        i64::from_str_radix(raw, if octal { 8 } else { 10 }).ok()
    }

    /// Another string in the same place.
    pub(crate) fn renamed(&self, text: &str) -> Self {
        Self { gap: self.gap, ..Self::string(text) }
    }

    /// As written, quotes included.
    pub(super) fn raw(&self) -> &str {
        self.raw.as_str()
    }
}

impl Array {
    /// An array of strings on one line.
    pub(crate) fn strings<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Self {
        let mut scalars: Vec<_> =
            texts.into_iter().map(|text| Scalar::string(text.as_ref())).collect();
        if let Some(first) = scalars.first_mut() {
            first.gap = Gap::Tight;
        }
        Self { scalars: scalars.into(), close: Gap::Tight }
    }

    /// Puts each value through `map`; `None` takes it out.
    pub(crate) fn map(&mut self, map: &mut dyn FnMut(&Scalar) -> Option<Scalar>) {
        let first = self.scalars.first().map(|scalar| scalar.gap);
        let mut scalars: Vec<_> = self.scalars.iter().filter_map(map).collect();
        if let (Some(scalar), Some(gap)) = (scalars.first_mut(), first) {
            scalar.gap = gap;
        }
        self.scalars = scalars.into();
        self.close = close_after(self.scalars.last(), self.close);
    }

    /// The values in order.
    pub fn scalars(&self) -> &[Scalar] {
        &self.scalars
    }
}

impl Item {
    /// `key = value`, with no empty line before it.
    pub(crate) fn new(key: &'static str, body: Body) -> Self {
        Self { key: Slice::from(key), tight: false, blanks: 0, body }
    }

    /// The same with so many empty lines before it.
    pub(crate) fn behind_blanks(self, blanks: u16) -> Self {
        Self { blanks, ..self }
    }

    /// What the key stands for, to be changed.
    pub(crate) fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The section, where it is one, to be changed.
    pub(crate) fn section_mut(&mut self) -> Option<&mut Section> {
        if let Body::Section(section) = &mut self.body { Some(section) } else { None }
    }

    /// Gives it another key, which must need no quotes.
    pub(crate) fn set_key(&mut self, key: &str) {
        self.key = Slice::from(key);
    }

    /// The key, without quotes.
    #[inline]
    pub fn key(&self) -> Cow<'_, str> {
        let raw = self.key.as_str();
        match raw.as_bytes().first() {
            Some(b'"') => unescape(inside(raw)),
            Some(b'\'') => Cow::Borrowed(inside(raw)),
            _ => Cow::Borrowed(raw),
        }
    }

    /// True where the key is a path.
    pub(crate) fn has_slash(&self) -> bool {
        match &self.key {
            // What this program knows is none.
            Slice::Known(_) => false,
            key => key.as_str().as_bytes().contains(&b'/'),
        }
    }

    /// What the key stands for.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The single value, where it is one.
    pub fn scalar(&self) -> Option<&Scalar> {
        if let Body::Scalar(scalar) = &self.body { Some(scalar) } else { None }
    }

    /// The array, where it is one.
    pub fn array(&self) -> Option<&Array> {
        if let Body::Array(array) = &self.body { Some(array) } else { None }
    }

    /// The section, where it is one.
    pub fn section(&self) -> Option<&Section> {
        if let Body::Section(section) = &self.body { Some(section) } else { None }
    }
}

/// A key that is looked for.
#[derive(Clone, Copy)]
struct Key<'k> {
    text: &'k str,
    word: Option<Common>,
}

impl<'k> Key<'k> {
    #[inline]
    fn of(text: &'k str) -> Self {
        Self { text, word: Common::of(text) }
    }

    /// True where it is the item's, without quotes.
    #[inline]
    fn is_of(self, item: &Item) -> bool {
        match &item.key {
            Slice::Known(word) if !word.is_quoted() => Some(*word) == self.word,
            _ => self.is_text_of(item),
        }
    }

    #[cold]
    fn is_text_of(self, item: &Item) -> bool {
        let raw = item.key.as_str();
        let is_quoted = matches!(raw.as_bytes(), [b'"' | b'\'', ..]);
        raw == self.text || (is_quoted && item.key() == self.text)
    }
}

impl Section {
    /// The items in order.
    pub fn items(&self) -> &[Item] {
        &self.items.list
    }

    /// One with these items and so many empty lines behind them, and the text that it was read
    /// from, where that is to be known.
    pub(super) fn of(list: Vec<Item>, close_blanks: u16, read: Option<Slice>) -> Self {
        let texts = Texts { read, ..Texts::default() };
        Self { items: Arc::new(Items { list, texts }), close_blanks }
    }

    /// What is known of its texts.
    pub(super) fn texts(&self) -> &Texts {
        &self.items.texts
    }

    /// How many bytes `text` begins with that are this section from its first item to its closing
    /// brace, as it was read or printed; `None` where they are not, or nobody knows.
    pub(super) fn len_in(&self, text: &str) -> Option<usize> {
        let Texts { read, disk, .. } = self.texts();
        let read = read.as_ref().map(Slice::as_str);
        let known = read.into_iter().chain(disk.get().map(AsRef::as_ref));
        known.into_iter().find(|known| text.starts_with(known)).map(str::len)
    }

    /// The first item of that key: as lvm2, later ones are not looked at.
    #[inline]
    pub fn get(&self, key: &str) -> Option<&Item> {
        let key = Key::of(key);
        self.items().iter().find(|item| key.is_of(item))
    }

    /// The section of that key.
    pub fn section(&self, key: &str) -> Option<&Section> {
        self.get(key)?.section()
    }

    /// The text of that key, where it is a string.
    pub fn str(&self, key: &str) -> Option<Cow<'_, str>> {
        self.get(key)?.scalar()?.as_str()
    }

    /// The number of that key, where it is a whole one.
    pub fn int(&self, key: &str) -> Option<i64> {
        self.get(key)?.scalar()?.as_int()
    }

    /// True where both share their items: what was read of one holds for the other.
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.items, &other.items)
    }

    /// Sections in order, with their keys.
    pub fn sections(&self) -> impl Iterator<Item = (Cow<'_, str>, &Section)> {
        self.items().iter().filter_map(|item| Some((item.key(), item.section()?)))
    }
}

/// Changes. Each copies only the vectors between the root and the place of the change.
impl Section {
    /// The items, to be changed.
    pub(crate) fn items_mut(&mut self) -> &mut Vec<Item> {
        let items = Arc::make_mut(&mut self.items);
        items.texts = Texts::default();
        &mut items.list
    }

    /// The section of that key, to be changed.
    pub(crate) fn section_mut(&mut self, key: &str) -> Option<&mut Section> {
        let key = Key::of(key);
        let index = self.items().iter().position(|item| key.is_of(item))?;
        self.items_mut().get_mut(index)?.section_mut()
    }

    /// Gives `key` this value: in its place where it exists, else after the last of the keys that
    /// precede it in `order`.
    pub(crate) fn set(&mut self, key: &'static str, body: Body, order: &[&str]) {
        let items = self.items_mut();
        let sought = Key::of(key);
        if let Some(item) = items.iter_mut().find(|item| sought.is_of(item)) {
            item.body = body;
            return;
        }
        let rank = |name: &str| order.iter().position(|entry| *entry == name);
        let mine = rank(key);
        let before =
            items.iter().rposition(|item| rank(&item.key()).is_some_and(|r| Some(r) < mine));
        let place = before.map_or(0, |index| index.saturating_add(1)).min(items.len());
        items.insert(place, Item::new(key, body));
    }

    /// Removes every item of that key; true where there was one.
    pub(crate) fn remove(&mut self, key: &str) -> bool {
        if self.get(key).is_none() {
            return false;
        }
        let key = Key::of(key);
        self.items_mut().retain(|item| !key.is_of(item));
        true
    }

    /// For a group's section: the empty lines that lvm2 prints around its lists of volumes, be they
    /// there or not.
    pub(crate) fn settle_blanks(&mut self) {
        let lvs = u16::from(self.section("logical_volumes").is_some());
        let mut left = 2;
        for item in self.items_mut() {
            let blanks = match &*item.key() {
                "logical_volumes" => 1,
                "historical_logical_volumes" => 2u16.saturating_sub(lvs),
                _ => continue,
            };
            item.blanks = blanks;
            left = u16::saturating_sub(left, blanks);
        }
        self.close_blanks = left;
    }
}
