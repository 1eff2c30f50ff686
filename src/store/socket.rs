//! The control socket: its place in the state directory, and who may listen there.
//!
//! A socket file outlives its listener, so it says nothing about who listens: whoever holds the lock does, and replaces what a
//! dead one left. The file is made with its final mode under another name, and renamed once it is listened on, so that it is
//! never open to others and never refuses a client while there is a listener.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, lchown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::Store;
use super::error::{Error, io};
use super::lock::ControlLock;

/// The name of the control socket in the state directory.
pub const CONTROL_SOCKET: &str = "control.sock";
/// Its name until somebody listens on it. Only the holder of the lock makes one, so one name is enough.
const UNFINISHED: &str = ".control.sock.new";
/// Clients that wait to be accepted; the system cuts it down to its own limit.
const BACKLOG: i32 = 1024;

/// The control socket, listened on; removed on drop, before the lock is given back.
#[derive(Debug)]
pub struct ControlSocket {
    /// Who listens; does not block.
    pub listener: UnixListener,
    path: PathBuf,
    _lock: ControlLock,
}

impl Store {
    /// Listens on the control socket.
    pub fn listen(&self, lock: ControlLock) -> Result<ControlSocket, Error> {
        let path = self.root.join(CONTROL_SOCKET);
        let unfinished = self.root.join(UNFINISHED);
        super::remove(&unfinished)?;
        let listener = bind(&self.root, UNFINISHED).map_err(|error| io("listen on", &path)(error.into()))?;
        // Whatever the umask took away.
        fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o600))
            .map_err(io("change the mode of", &unfinished))?;
        if let Some((uid, gid)) = self.owner {
            lchown(&unfinished, Some(uid), Some(gid)).map_err(io("change the owner of", &unfinished))?;
        }
        fs::rename(&unfinished, &path).map_err(io("replace", &path))?;
        tracing::trace!(target: "hotcert::step", "store: control socket in its place");
        Ok(ControlSocket { listener: listener.into(), path, _lock: lock })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // What remains is replaced by the next listener, and refuses clients until then.
        let _ = fs::remove_file(&self.path);
    }
}

/// A socket of mode 0600, less what the umask takes, from its first instant: Linux gives the file the mode of the socket (`unix(7)`
/// is silent; `unix_bind_bsd` in `net/unix/af_unix.c`).
fn bind(directory: &Path, name: &str) -> rustix::io::Result<OwnedFd> {
    let directory = rustix::fs::open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(within(&directory, name))?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// A path to a socket that is short enough for `sun_path` (108 bytes, `unix(7)`), wherever its directory is.
#[must_use]
pub fn within(directory: &OwnedFd, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}
