//! Where bytes go that cannot stay where they are: beside, under a name that nothing has yet, so that what was set aside
//! before stays too.

use std::io;

use crate::disk::Disk;
use crate::meta::join;

/// A path in `dir` that begins with `stem`, ends in `.bad`, and that nobody has.
pub(crate) fn free_path(disk: &dyn Disk, dir: &str, stem: &str) -> io::Result<String> {
    let taken = disk.list(dir)?;
    let mut names = std::iter::once(format!("{stem}.bad")).chain((2..).map(|n| format!("{stem}-{n}.bad")));
    let free = names.find(|name| !taken.contains(name));
    Ok(join(dir, &free.unwrap_or_default())) // one of endlessly many is free
}

/// Renames `dir/name` so that it ends in `.bad`, durably, and says to what.
pub(crate) fn set_aside(disk: &dyn Disk, dir: &str, name: &str) -> io::Result<String> {
    let aside = free_path(disk, dir, name)?;
    disk.rename(&join(dir, name), &aside)?;
    disk.sync_dir(dir)?;
    Ok(aside)
}
