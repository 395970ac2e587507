//! A part of a tree, in memory.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::rc::Rc;

use super::{Folder, Kind, Making, Meta, NewTree, TreePath, Xattrs};
use crate::units::Bytes;

/// More than this of content is not kept.
const MOST: u64 = 24 << 20;

/// What an entry has beside its metadata.
#[derive(Debug)]
enum Has {
    Content(Vec<u8>),
    Target(Vec<u8>),
    Nothing,
}

#[derive(Debug)]
struct Node {
    meta: Meta,
    xattrs: Xattrs,
    has: Has,
}

/// What of a tree, made as any [`NewTree`], has the paths that are wanted; the rest is passed over.
pub struct Part<'p> {
    wanted: &'p dyn Fn(&TreePath) -> bool,
    /// By path: what is in a folder follows it.
    nodes: BTreeMap<TreePath, Rc<Node>>,
    left: u64,
    /// Why it cannot be kept.
    beyond: Option<String>,
}

impl<'p> Part<'p> {
    /// Keeps what is wanted; where something is, its folder is too.
    pub fn new(wanted: &'p dyn Fn(&TreePath) -> bool) -> Self {
        let nodes = BTreeMap::from([(TreePath::root(), Rc::new(folder()))]);
        Self { wanted, nodes, left: MOST, beyond: None }
    }

    /// Why what was refused cannot be kept here, though a tree of files could hold it.
    pub(crate) fn beyond(&mut self) -> Option<String> {
        self.beyond.take()
    }

    /// The content of the file at a path, where it was wanted.
    pub(crate) fn file(&self, path: &str) -> Option<&[u8]> {
        match &self.nodes.get(&TreePath::from_text(path)?)?.has {
            Has::Content(content) => Some(content),
            _ => None,
        }
    }

    fn refuse(&mut self, why: String) -> io::Error {
        let error = io::Error::other(why.clone());
        self.beyond = Some(why);
        error
    }

    /// Its root.
    pub fn root(&self) -> PartFolder<'_> {
        PartFolder { part: self, at: TreePath::root() }
    }

    /// Folders on the way that nobody has named.
    fn parents(&mut self, path: &TreePath) {
        let names: Vec<&[u8]> = path.names().collect();
        for count in 1..names.len() {
            let above = TreePath::of(names.iter().copied().take(count));
            self.nodes.entry(above).or_insert_with(|| Rc::new(folder()));
        }
    }

    fn content(&mut self, from: &mut dyn Read) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let got = from.take(self.left.saturating_add(1)).read_to_end(&mut content)?;
        match self.left.checked_sub(got as u64) {
            Some(left) => self.left = left,
            None => {
                let most = Bytes::new(MOST);
                return Err(self.refuse(format!("more than {most} would be to be compared")));
            }
        }
        Ok(content)
    }
}

/// One that nobody has described.
fn folder() -> Node {
    let meta = Meta { links: 2, ..Meta::blank(Kind::Folder) };
    Node { meta, xattrs: Xattrs::new(), has: Has::Nothing }
}

impl NewTree for Part<'_> {
    fn put(
        &mut self,
        path: &TreePath,
        meta: &Meta,
        xattrs: &Xattrs,
        making: Making<'_>,
    ) -> io::Result<()> {
        if path.names().next().is_some() && !(self.wanted)(path) {
            return Ok(());
        }
        self.parents(path);
        if meta.kind != Kind::Folder {
            self.remove(path, &|_| false)?;
        }
        let has = match making {
            Making::File(from) => Has::Content(self.content(from)?),
            Making::Link(target) => Has::Target(target.to_vec()),
            Making::Other => Has::Nothing,
        };
        let mut meta = meta.clone();
        if let Has::Content(content) = &has {
            meta.size = Bytes::new(content.len() as u64);
        }
        self.nodes.insert(path.clone(), Rc::new(Node { meta, xattrs: xattrs.clone(), has }));
        Ok(())
    }

    fn link(&mut self, path: &TreePath, first: &TreePath) -> io::Result<()> {
        if !(self.wanted)(path) {
            return Ok(());
        }
        let Some(node) = self.nodes.get(first).cloned() else {
            return Err(self.refuse(format!("{path} is another name of {first}")));
        };
        self.parents(path);
        self.nodes.insert(path.clone(), node);
        Ok(())
    }

    fn remove(&mut self, path: &TreePath, keep: &dyn Fn(&TreePath) -> bool) -> io::Result<()> {
        let inside = path.join(b"");
        self.nodes.retain(|other, _| {
            let goes = other == path || other.bytes().starts_with(inside.bytes());
            !goes || keep(other)
        });
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A folder of a part.
pub struct PartFolder<'p> {
    part: &'p Part<'p>,
    at: TreePath,
}

impl PartFolder<'_> {
    fn node(&self, name: &[u8]) -> io::Result<&Node> {
        self.at(&self.at.join(name))
    }

    fn own(&self) -> io::Result<&Node> {
        self.at(&self.at)
    }

    fn at(&self, path: &TreePath) -> io::Result<&Node> {
        let node = self.part.nodes.get(path).map(AsRef::as_ref);
        node.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Folder for PartFolder<'_> {
    fn own_meta(&self) -> io::Result<Meta> {
        Ok(self.own()?.meta.clone())
    }

    fn own_xattrs(&self) -> io::Result<Xattrs> {
        Ok(self.own()?.xattrs.clone())
    }

    fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let inside = self.at.join(b"");
        let all = self.part.nodes.range(inside.clone()..);
        let all = all.take_while(|(path, _)| path.bytes().starts_with(inside.bytes()));
        let names = all.filter_map(|(path, _)| {
            let name = path.bytes().get(inside.bytes().len()..)?;
            (!name.is_empty() && !name.contains(&b'/')).then(|| name.to_vec())
        });
        Ok(names.collect())
    }

    fn meta(&self, name: &[u8]) -> io::Result<Meta> {
        Ok(self.node(name)?.meta.clone())
    }

    fn folder(&self, name: &[u8]) -> io::Result<Self> {
        match self.node(name)?.meta.kind {
            Kind::Folder => Ok(Self { part: self.part, at: self.at.join(name) }),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&self, name: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        match &self.node(name)?.has {
            Has::Content(content) => Ok(Box::new(content.as_slice())),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn target(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        match &self.node(name)?.has {
            Has::Target(target) => Ok(target.clone()),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn xattrs(&self, name: &[u8]) -> io::Result<Xattrs> {
        Ok(self.node(name)?.xattrs.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::from_text(text).expect("a path")
    }

    #[test]
    fn what_is_wanted_is_kept_and_no_more() {
        let wanted = |path: &TreePath| path.bytes().starts_with(b"/etc");
        let mut part = Part::new(&wanted);
        let meta = |kind| Meta { kind, ..folder().meta };
        let none = Xattrs::new();
        let file = |part: &mut Part<'_>, at: &str, mut content: &[u8]| {
            part.put(&path(at), &meta(Kind::File), &none, Making::File(&mut content))
        };
        for (at, content) in
            [("/etc/a/b", "1"), ("/usr/x", "2"), ("/etc/ab", "3"), ("/etc/a!", "4")]
        {
            file(&mut part, at, content.as_bytes()).expect("kept");
        }
        part.put(&path("/etc/l"), &meta(Kind::Link), &none, Making::Link(b"x")).expect("kept");
        part.link(&path("/etc/twin"), &path("/etc/ab")).expect("kept");
        part.link(&path("/usr/twin"), &path("/usr/x")).expect("passed over");
        part.link(&path("/etc/of"), &path("/usr/x")).expect_err("nobody has read it");
        assert_eq!(part.beyond().as_deref(), Some("/etc/of is another name of /usr/x"));
        let root = part.root();
        assert_eq!(root.names().expect("readable"), [b"etc"]);
        let etc = root.folder(b"etc").expect("a folder");
        let names = etc.names().expect("readable");
        assert_eq!(names, [&b"a"[..], b"a!", b"ab", b"l", b"twin"]);
        let mut content = String::new();
        etc.file(b"twin").expect("a file").read_to_string(&mut content).expect("readable");
        assert_eq!((content.as_str(), etc.target(b"l").expect("a link")), ("3", b"x".to_vec()));
        assert_eq!(etc.folder(b"a").expect("a folder").names().expect("readable"), [b"b"]);
        assert_eq!(
            etc.meta(b"none").map_err(|error| error.kind()).err(),
            Some(io::ErrorKind::NotFound)
        );
        // A file in the place of a folder takes all that is in it away; a whiteout does too.
        file(&mut part, "/etc/a", b"5").expect("kept");
        part.remove(&path("/etc/ab"), &|_| false).expect("gone");
        let etc = part.root().folder(b"etc").expect("a folder");
        assert_eq!(etc.names().expect("readable"), [&b"a"[..], b"a!", b"l", b"twin"]);
        let large = vec![0; 25 << 20];
        assert_eq!((part.beyond(), part.file("/etc/a")), (None, Some(&b"5"[..])));
        file(&mut part, "/etc/large", &large).expect_err("too much");
        assert!(part.beyond().is_some_and(|why| why.starts_with("more than 24")));
        file(&mut part, "/usr/large", &large).expect("passed over");
    }
}
