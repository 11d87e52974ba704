//! Answers to the kernel.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fuser::{
    Errno, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, KernelConfig, LockOwner, OpenFlags,
    ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};

use super::attributes;
use super::nodes::Nodes;
use super::tree::Node;
use crate::error::{Error, ErrorKind};
use crate::live::{Live, OpenFile};
use crate::snapshot::entry::{EntryKind, Xattr};

/// For how long the kernel may keep what lies in a snapshot, ...
const IMMUTABLE: Duration = Duration::from_secs(3600);
/// ... and lists of snapshots.
const CHANGING: Duration = Duration::from_secs(1);
/// How far the kernel may read ahead.
const READAHEAD: u32 = 1 << 20;
/// The number of an inode that was not looked up, in lists of names.
const UNKNOWN: INodeNo = INodeNo(0xffff_ffff);
/// The longest name.
const NAME: u32 = 255;

/// The file system.
pub(super) struct SnapshotSystem {
    live: Arc<Live>,
    nodes: Nodes,
    handles: Mutex<HashMap<u64, Handle>>,
    next: AtomicU64,
}

/// Something that is open.
#[derive(Clone)]
enum Handle {
    File(Arc<OpenFile>),
    Names(Arc<Vec<(Vec<u8>, FileType)>>),
}

impl SnapshotSystem {
    pub(super) fn new(live: Arc<Live>) -> Self {
        Self { live, nodes: Nodes::new(), handles: Mutex::default(), next: AtomicU64::new(1) }
    }

    fn node(&self, number: INodeNo) -> Result<Node, Errno> {
        self.nodes.get(number.0).ok_or(Errno::ESTALE)
    }

    fn handles(&self) -> MutexGuard<'_, HashMap<u64, Handle>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, handle: Handle) -> FileHandle {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.handles().insert(number, handle);
        FileHandle(number)
    }

    fn kept(&self, handle: FileHandle) -> Result<Handle, Errno> {
        self.handles().get(&handle.0).cloned().ok_or(Errno::EBADF)
    }

    fn find(&self, parent: INodeNo, name: &[u8]) -> Result<(fuser::FileAttr, Duration), Errno> {
        let folder = self.node(parent)?;
        let node = folder.child(&self.live, name).map_err(errno)?.ok_or(Errno::ENOENT)?;
        // Errors come before the kernel knows of it: it forgets only what it knows.
        let mut attributes = attributes::of(&self.live, 0, &node).map_err(errno)?;
        let time = time_of(&folder);
        attributes.ino = INodeNo(self.nodes.found(parent.0, name, node));
        Ok((attributes, time))
    }

    fn open_file(&self, number: INodeNo) -> Result<Arc<OpenFile>, Errno> {
        match self.node(number)? {
            Node::Entry(snapshot, view, Some(entry)) if entry.kind == EntryKind::File => {
                self.live.open(&snapshot, view, &entry.path).map_err(errno)
            }
            Node::Entry(_, _, Some(entry)) if entry.kind != EntryKind::Directory => Err(Errno::EOPNOTSUPP),
            _ => Err(Errno::EISDIR),
        }
    }

    fn names(&self, number: INodeNo) -> Result<Vec<(Vec<u8>, FileType)>, Errno> {
        let names = self.node(number)?.names(&self.live).map_err(errno)?.ok_or(Errno::ENOTDIR)?;
        let own = [&b"."[..], b".."].map(|name| (name.to_vec(), FileType::Directory));
        Ok(own.into_iter().chain(names.into_iter().map(|named| (named.name, attributes::kind(&named.kind)))).collect())
    }

    fn xattrs(&self, number: INodeNo) -> Result<Vec<Xattr>, Errno> {
        Ok(match self.node(number)? {
            Node::Entry(_, _, Some(entry)) => entry.xattrs.clone(),
            _ => Vec::new(),
        })
    }
}

/// For how long names in a folder stay what they are.
fn time_of(folder: &Node) -> Duration {
    match folder {
        Node::Views(_) | Node::Entry(..) => IMMUTABLE,
        _ => CHANGING,
    }
}

/// The number under which the kernel knows an error.
fn errno(error: Error) -> Errno {
    match error.kind() {
        ErrorKind::NotFound => Errno::ENOENT,
        ErrorKind::Conflict => Errno::ESTALE,
        ErrorKind::Busy => Errno::EAGAIN,
        ErrorKind::Interrupted => Errno::EINTR,
        ErrorKind::Usage => Errno::EINVAL,
        _ => Errno::EIO,
    }
}

/// Answers with a value of an attribute: with its length where that is asked for, or that there is no room for it.
fn give(reply: ReplyXattr, size: u32, value: &[u8]) {
    match (size, u32::try_from(value.len())) {
        (0, Ok(length)) => reply.size(length),
        (room, Ok(length)) if length <= room => reply.data(value),
        (_, Ok(_)) => reply.error(Errno::ERANGE),
        (_, Err(_)) => reply.error(Errno::E2BIG),
    }
}

impl Filesystem for SnapshotSystem {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        if let Err(most) = config.set_max_readahead(READAHEAD) {
            let _ = config.set_max_readahead(most);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.find(parent, name.as_bytes()) {
            Ok((attributes, time)) => reply.entry(&time, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn forget(&self, _: &Request, number: INodeNo, lookups: u64) {
        self.nodes.forget(number.0, lookups);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let node = self.node(number);
        let found = node.and_then(|node| {
            attributes::of(&self.live, number.0, &node).map(|attributes| (attributes, time_of(&node))).map_err(errno)
        });
        match found {
            Ok((attributes, time)) => reply.attr(&time, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        match self.node(number) {
            Ok(Node::Entry(_, _, Some(entry))) => match &entry.kind {
                EntryKind::Symlink(target) => reply.data(target),
                _ => reply.error(Errno::EINVAL),
            },
            Ok(_) => reply.error(Errno::EINVAL),
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.open_file(number) {
            Ok(file) => reply.opened(self.keep(Handle::File(file)), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Ok(Handle::File(file)) = self.kept(handle) else { return reply.error(Errno::EBADF) };
        let mut bytes = vec![0; size as usize];
        match file.read_at(offset, &mut bytes) {
            Ok(read) => reply.data(&bytes[..read]),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.handles().remove(&handle.0);
        reply.ok();
    }

    fn opendir(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.names(number) {
            Ok(names) => reply.opened(self.keep(Handle::Names(Arc::new(names))), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn readdir(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let Ok(Handle::Names(names)) = self.kept(handle) else { return reply.error(Errno::EBADF) };
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        for (at, (name, kind)) in names.iter().enumerate().skip(start) {
            if reply.add(UNKNOWN, at as u64 + 1, *kind, OsStr::from_bytes(name)) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.handles().remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, 4096, NAME, 4096);
    }

    fn getxattr(&self, _: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let found = self.xattrs(number);
        match found.map(|xattrs| xattrs.into_iter().find(|xattr| xattr.name == name.as_bytes())) {
            Ok(Some(xattr)) => give(reply, size, &xattr.value),
            Ok(None) => reply.error(Errno::ENODATA),
            Err(error) => reply.error(error),
        }
    }

    fn listxattr(&self, _: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        match self.xattrs(number) {
            Ok(xattrs) => {
                let names: Vec<u8> = xattrs.iter().flat_map(|xattr| [&xattr.name[..], b"\0"].concat()).collect();
                give(reply, size, &names);
            }
            Err(error) => reply.error(error),
        }
    }
}
