//! Three words of feature bits: `compat` may be ignored, `ro_compat` must be known to write,
//! `incompat` must be known to read.

/// `s_feature_compat`.
pub mod compat {
    /// It has a journal.
    pub const HAS_JOURNAL: u32 = 0x4;
    /// Room for more group descriptors is kept by an inode.
    pub const RESIZE_INODE: u32 = 0x10;
    /// Folders may have a tree of hashes.
    pub const DIR_INDEX: u32 = 0x20;
    /// Backups in two groups only, named by `s_backup_bgs`.
    pub const SPARSE_SUPER2: u32 = 0x200;
    /// Inode numbers and the UUID are part of encryption: the UUID must not change.
    pub const STABLE_INODES: u32 = 0x800;
}

/// `s_feature_incompat`.
pub mod incompat {
    /// Folders say what their entries are.
    pub const FILETYPE: u32 = 0x2;
    /// The journal holds changes that are not in place yet.
    pub const RECOVER: u32 = 0x4;
    /// This is an external journal and not a file system.
    pub const JOURNAL_DEV: u32 = 0x8;
    /// Group descriptors lie in the groups that they describe.
    pub const META_BG: u32 = 0x10;
    /// Files are mapped by extents.
    pub const EXTENTS: u32 = 0x40;
    /// Block numbers and descriptors are wide.
    pub const BIT64: u32 = 0x80;
    /// Extended attributes in inodes of their own; their hashes start from the checksum seed.
    pub const EA_INODE: u32 = 0x400;
    /// Folders may be larger than 2 GiB, and their sizes are wide.
    pub const LARGEDIR: u32 = 0x4000;
    /// The checksum seed is stored, and no longer the UUID's checksum.
    pub const CSUM_SEED: u32 = 0x2000;
    /// All that this module knows to leave its understanding of the layout right: the above,
    /// MMP, FLEX_BG, DIRDATA, INLINE_DATA, ENCRYPT, CASEFOLD.
    pub const KNOWN: u32 = FILETYPE
        | RECOVER
        | META_BG
        | EXTENTS
        | BIT64
        | 0x100
        | 0x200
        | EA_INODE
        | 0x1000
        | CSUM_SEED
        | LARGEDIR
        | 0x8000
        | 0x1_0000
        | 0x2_0000;
}

/// `s_feature_ro_compat`.
pub mod ro_compat {
    /// Backups in groups 0, 1 and powers of 3, 5 and 7 only.
    pub const SPARSE_SUPER: u32 = 0x1;
    /// Group descriptors carry a crc16 that starts with the UUID (`uninit_bg`).
    pub const GDT_CSUM: u32 = 0x10;
    /// Bitmaps count clusters of several blocks.
    pub const BIGALLOC: u32 = 0x200;
    /// All metadata carries a crc32c.
    pub const METADATA_CSUM: u32 = 0x400;
    /// Files may have blocks in common, and nothing is ever written.
    pub const SHARED_BLOCKS: u32 = 0x4000;
    /// The file of orphans is not empty.
    pub const ORPHAN_PRESENT: u32 = 0x1_0000;
    /// All that this module knows: the above, LARGE_FILE, BTREE_DIR, HUGE_FILE, DIR_NLINK,
    /// EXTRA_ISIZE, QUOTA, READONLY, PROJECT, VERITY. Snapshots, replicas and shared blocks are not.
    pub const KNOWN: u32 = SPARSE_SUPER
        | 0x2
        | 0x4
        | 0x8
        | GDT_CSUM
        | 0x20
        | 0x40
        | 0x100
        | BIGALLOC
        | METADATA_CSUM
        | 0x1000
        | 0x2000
        | 0x8000
        | ORPHAN_PRESENT;
}

/// The feature words of a superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// `s_feature_compat`.
    pub compat: u32,
    /// `s_feature_incompat`.
    pub incompat: u32,
    /// `s_feature_ro_compat`.
    pub ro_compat: u32,
}

impl Features {
    /// True where all of these `compat` bits are set.
    pub const fn compat(self, bits: u32) -> bool {
        self.compat & bits == bits
    }

    /// True where all of these `incompat` bits are set.
    pub const fn incompat(self, bits: u32) -> bool {
        self.incompat & bits == bits
    }

    /// True where all of these `ro_compat` bits are set.
    pub const fn ro_compat(self, bits: u32) -> bool {
        self.ro_compat & bits == bits
    }

    /// True where no bit is set that changes the layout in a way unknown here.
    pub const fn known(self) -> bool {
        self.incompat & !incompat::KNOWN == 0 && self.ro_compat & !ro_compat::KNOWN == 0
    }
}
