//! What an installed directory holds, so that what has gone from it is noticed before a tool fails for want of it.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// The first line of one in writing.
const TITLE: &str = "size and path of every file";

/// Every file below a directory, with its size. A link counts as what it is, not as what it points to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Inventory(Vec<(u64, PathBuf)>);

impl Inventory {
    pub(super) fn take(directory: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(directory.join(&folder))? {
                let entry = entry?;
                let (path, data) = (folder.join(entry.file_name()), entry.metadata()?);
                if !data.is_dir() {
                    files.push((data.len(), path));
                } else if entry.file_name() != "__pycache__" {
                    // What Python makes of its modules it makes again, when and as it likes.
                    folders.push(path);
                }
            }
        }
        files.sort_unstable_by(|(_, a), (_, b)| a.cmp(b));
        Ok(Self(files))
    }

    /// `None` for what is no inventory, or only a part of one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let lines = text.strip_prefix(TITLE)?.strip_prefix('\n')?;
        let file = |line: &str| {
            let (size, path) = line.strip_suffix('\n')?.split_once(' ')?;
            Some((size.parse().ok()?, path.into()))
        };
        lines.split_inclusive('\n').map(file).collect::<Option<_>>().map(Self)
    }

    /// A file that is not there any more, or not of its size.
    pub(super) fn missing(&self, directory: &Path) -> Option<&Path> {
        let is_whole = |size: u64, path: &Path| {
            fs::symlink_metadata(directory.join(path)).is_ok_and(|data| data.len() == size)
        };
        self.0.iter().find(|(size, path)| !is_whole(*size, path)).map(|(_, path)| path.as_path())
    }
}

impl fmt::Display for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLE}")?;
        self.0.iter().try_for_each(|(size, path)| writeln!(f, "{size} {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_is_read_as_it_was_written_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("in")).unwrap();
        for (path, text) in [("a", "1"), ("in/b c", "22"), ("in/d", "")] {
            fs::write(directory.path().join(path), text).unwrap();
        }
        let inventory = Inventory::take(directory.path()).unwrap();
        let text = inventory.to_string();
        assert_eq!(text, format!("{TITLE}\n1 a\n2 in/b c\n0 in/d\n"));
        assert_eq!(Inventory::parse(&text).unwrap(), inventory);
        for broken in ["", TITLE, &text[..text.len() - 1], &text[1..], "size and path of every file\nx a\n"] {
            assert_eq!(Inventory::parse(broken), None, "{broken:?}");
        }
    }
}
