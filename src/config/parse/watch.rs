//! `[[watch]]`.

use std::path::PathBuf;

use super::super::read::{Reader, Section, parsed, path};
use super::super::{Layout, Watch};

pub(super) fn watches(top: &mut Section<'_>, reader: &mut Reader<'_>) -> Vec<Watch> {
    let mut watches: Vec<Watch> = Vec::new();
    for mut section in top.array(reader, "watch") {
        let dir = section.require(reader, "dir", |value| {
            let dir = path(value)?;
            if !dir.is_absolute() {
                return Err("must be an absolute path".to_owned());
            }
            // Without `.` and slashes too many, so that one directory is written in one way.
            let dir: PathBuf = dir.components().collect();
            if watches.iter().any(|known| known.dir == dir) {
                return Err(format!("{} is watched already", dir.display()));
            }
            Ok(dir)
        });
        let layout = section.get(reader, "layout", parsed::<Layout>).unwrap_or_default();
        section.finish(reader);
        watches.extend(dir.map(|dir| Watch { dir, layout }));
    }
    watches
}
