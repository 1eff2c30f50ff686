//! From a path in another mount namespace to the path of the same file in ours (`proc_pid_mountinfo(5)`). Pure text.

use std::path::{Path, PathBuf};

/// A mount: a part of a file system, and where it is seen.
struct Mount<'a> {
    /// Major and minor number of the file system.
    device: &'a str,
    /// Which directory of the file system it shows.
    root: PathBuf,
    /// Where.
    point: PathBuf,
}

/// Where a path (without symbolic links) of the other namespace may be found in ours. What lies in a root that is not ours is nowhere:
/// that of a container is made for it, and goes with it.
pub(super) fn translate(theirs: &str, ours: &str, path: &Path) -> Vec<PathBuf> {
    // Of mounts on top of each other the last one counts.
    let Some(mount) = mounts(theirs)
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.components().count())
    else {
        return Vec::new();
    };
    // A service with mounts of its own has the same root as everybody.
    let is_root = |mount: &Mount<'_>| mount.point == Path::new("/");
    let may_be = |own: &Mount<'_>| own.device == mount.device && (!is_root(&mount) || is_root(own));
    let inside = join(&mount.root, path.strip_prefix(&mount.point).unwrap_or(Path::new("")));
    let mut found: Vec<PathBuf> = mounts(ours)
        .filter(may_be)
        .filter_map(|own| Some(join(&own.point, inside.strip_prefix(&own.root).ok()?)))
        .collect();
    // The shortest is the one that a person would name.
    found.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    found.dedup();
    found
}

fn join(path: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { path.to_owned() } else { path.join(rest) }
}

fn mounts(table: &str) -> impl Iterator<Item = Mount<'_>> {
    table.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(2);
        let (device, root, point) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Mount { device, root: unescaped(root).into(), point: unescaped(point).into() })
    })
}

/// Blanks and backslashes are written as three octal digits.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if let Some(byte) = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            out.push(char::from(byte));
            out.push_str(&part[3..]);
        } else {
            out.push('\\');
            out.push_str(part);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_directory_is_found_and_a_private_one_is_not() {
        let theirs = "1 0 0:50 / / rw - overlay overlay rw\n\
                      2 1 8:1 /srv/haproxy/certs /certs rw - ext4 /dev/sda1 rw\n\
                      3 1 0:60 / /run/haproxy rw - tmpfs tmpfs rw\n\
                      4 1 8:1 /my\\040files /files rw - ext4 /dev/sda1 rw";
        let ours = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
                    2 1 0:60 / /var/lib/shared rw - tmpfs tmpfs rw\n\
                    3 1 0:50 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw\n\
                    4 1 8:1 /srv /mnt/long/way rw - ext4 /dev/sda1 rw";
        let first = |path: &str| translate(theirs, ours, Path::new(path)).into_iter().next();
        assert_eq!(first("/certs/a.pem"), Some("/srv/haproxy/certs/a.pem".into()));
        assert_eq!(first("/certs"), Some("/srv/haproxy/certs".into()));
        assert_eq!(first("/run/haproxy/admin.sock"), Some("/var/lib/shared/admin.sock".into()));
        assert_eq!(first("/files/a"), Some("/my files/a".into()));
        assert_eq!(first("/etc/haproxy/haproxy.cfg"), None);
        let service = "1 0 8:1 / / ro - ext4 /dev/sda1 rw\n2 1 0:99 / /tmp rw - tmpfs tmpfs rw";
        let shared = translate(service, ours, Path::new("/etc/haproxy/certs"));
        assert_eq!(shared.first().map(PathBuf::as_path), Some(Path::new("/etc/haproxy/certs")));
        assert_eq!(translate(service, ours, Path::new("/tmp/x")), Vec::<PathBuf>::new());
        assert_eq!(translate("", "", Path::new("/x")), Vec::<PathBuf>::new());
        assert_eq!(translate("garbage\n1 2", "\\9", Path::new("/x")), Vec::<PathBuf>::new());
    }
}
