//! The private copies that libraries run from.
//!
//! What was hashed is what runs: the bytes that were read once are written to a folder that nobody else can change, and
//! opened from there. Every load gets a path of its own, since the C library answers a path that it has open with the
//! old image. For the same reason a copy stays while its process lives: the inode of a deleted one could be given to the
//! next, which would then be taken for it.

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::StatVfsMountFlags;

use crate::ownership::{self, Unsafe};

/// In the folder of all processes it is held while one of them starts, in that of one process while it lives.
const LOCK: &str = "lock";

/// Why libraries cannot be copied to where they would run.
#[derive(Debug, thiserror::Error)]
pub enum CopiesError {
    /// A file or folder could not be made.
    #[error("cannot write a private copy of a plugin: {path}: {error}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Others could change the copies.
    #[error(transparent)]
    Unsafe(#[from] Unsafe),
    /// The system would run nothing from there.
    #[error("plugins cannot run from {path}: its file system is mounted noexec; choose a folder on another one")]
    NoExec {
        /// The folder of the copies.
        path: PathBuf,
    },
}

/// The copies of this process.
#[derive(Debug)]
pub(crate) struct Copies {
    folder: PathBuf,
    next: AtomicU64,
    /// Tells other processes that this one lives. The system drops the lock with the process, however it ends.
    _alive: File,
}

impl Copies {
    /// Makes this process a folder in `root`, which is made, too, if there is none, and removes those of processes that
    /// have ended.
    pub(crate) fn open(root: &Path) -> Result<Self, CopiesError> {
        let fail = |error| CopiesError::Io { path: root.to_owned(), error };
        DirBuilder::new().mode(0o700).recursive(true).create(root).map_err(fail)?;
        let root = root.canonicalize().map_err(fail)?;
        ownership::check(&root, &fs::metadata(&root).map_err(fail)?)?;
        if let Some(above) = ownership::exposed_above(&root) {
            // No error: where nobody else is, as in most containers, it does no harm.
            tracing::warn!(
                folder = %above.display(),
                "everybody on this machine can put other libraries in the place of plugins' copies; run `chmod o-w`"
            );
        }
        let mount = rustix::fs::statvfs(&root).map_err(|error| fail(error.into()))?;
        if mount.f_flag.contains(StatVfsMountFlags::NOEXEC) {
            return Err(CopiesError::NoExec { path: root });
        }
        // Nobody else looks for ended processes while this one has a folder and no lock on it yet.
        let starting = lock_file(&root.join(LOCK))?;
        starting.lock().map_err(fail)?;
        remove_ended(&root).map_err(fail)?;
        let folder = make_folder(&root)?;
        let alive = lock_file(&folder.join(LOCK))?;
        alive.lock().map_err(|error| CopiesError::Io { path: folder.clone(), error })?;
        Ok(Self { folder, next: AtomicU64::new(1), _alive: alive })
    }

    /// Writes `bytes`, which hash to `sha256`, to a new file called `entry`.
    pub(crate) fn write(&self, entry: &str, sha256: &str, bytes: &[u8]) -> Result<PathBuf, CopiesError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.join(format!("{sha256}-{number}"));
        let path = folder.join(entry);
        match make_private(&folder).and_then(|()| write_private(&path, bytes)) {
            Ok(()) => Ok(path),
            Err(error) => {
                // Half a library is of no use; what cannot be removed either is removed by a later process.
                let _ = fs::remove_dir_all(&folder);
                Err(CopiesError::Io { path, error })
            }
        }
    }
}

/// Makes a folder that only we can use. The mode comes once more, since the umask takes from the first one.
fn make_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

/// Writes a new file that only we can read and run, and nobody can change.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o500).open(path)?;
    file.write_all(bytes)?;
    file.set_permissions(Permissions::from_mode(0o500))
}

fn lock_file(path: &Path) -> Result<File, CopiesError> {
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let opened = opened.and_then(|file| file.set_permissions(Permissions::from_mode(0o600)).map(|()| file));
    opened.map_err(|error| CopiesError::Io { path: path.to_owned(), error })
}

/// A new folder in `root` named by the process id, which a process in another container may have, too.
fn make_folder(root: &Path) -> Result<PathBuf, CopiesError> {
    let mut attempt = 0;
    loop {
        let folder = root.join(format!("{}-{attempt}", process::id()));
        match make_private(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
            Err(error) => return Err(CopiesError::Io { path: folder, error }),
        }
    }
}

/// Whether a name is one that [`make_folder`] gives.
fn is_of_a_process(name: &OsStr) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.to_str().and_then(|name| name.split_once('-')).is_some_and(|(id, attempt)| number(id) && number(attempt))
}

/// Removes the folders of processes whose lock nobody holds.
fn remove_ended(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || !is_of_a_process(&entry.file_name()) {
            continue;
        }
        let folder = entry.path();
        let removed = match File::open(folder.join(LOCK)) {
            Ok(lock) => match lock.try_lock() {
                Ok(()) => fs::remove_dir_all(&folder),
                Err(TryLockError::WouldBlock) => Ok(()),
                Err(TryLockError::Error(error)) => Err(error),
            },
            // Of a process that ended before it had a lock. With anything in it, it is somebody else's and stays.
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::remove_dir(&folder).or(Ok(())),
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::warn!(folder = %folder.display(), "cannot remove old copies of plugins: {error}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{env, process::Command, thread, time::Duration};

    use super::*;

    fn folders(root: &Path) -> usize {
        fs::read_dir(root).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn every_copy_has_a_path_of_its_own_that_nobody_else_can_change() {
        let root = tempfile::tempdir().unwrap();
        let copies = Copies::open(&root.path().join("a/b")).unwrap();
        let (first, second) =
            (copies.write("lib.so", "ab", b"x").unwrap(), copies.write("lib.so", "ab", b"x").unwrap());
        assert_ne!(first, second);
        assert_eq!((fs::read(&first).unwrap(), mode(&first)), (b"x".to_vec(), 0o500));
        assert_eq!(mode(first.parent().unwrap()), 0o700);
        assert!(first.starts_with(root.path().canonicalize().unwrap()) && first.ends_with("ab-1/lib.so"), "{first:?}");
    }

    #[test]
    fn copies_of_ended_processes_are_removed_and_those_of_living_ones_are_not() {
        let root = tempfile::tempdir().unwrap();
        let (living, ended) = (Copies::open(root.path()).unwrap(), Copies::open(root.path()).unwrap());
        let kept = living.write("lib.so", "ab", b"x").unwrap();
        let removed = ended.write("lib.so", "ab", b"x").unwrap();
        drop(ended);
        // No process has this number.
        fs::create_dir(root.path().join("0-0")).unwrap();
        fs::create_dir(root.path().join("notes")).unwrap();
        // Somebody else's, whatever it is called.
        fs::write(root.path().join("notes/lock"), "mine").unwrap();
        // A process that another test has just started holds the locks of this one until it runs its own program.
        let open = |_| {
            thread::sleep(Duration::from_millis(1));
            Copies::open(root.path()).unwrap()
        };
        let new = (0..1000).map(open).find(|_| folders(root.path()) == 3);
        assert!(new.is_some(), "there are not only the living one's, the new one's and notes");
        assert!(kept.exists() && !removed.exists() && root.path().join("notes/lock").exists());
    }

    #[test]
    fn the_umask_takes_nothing_from_the_copies() {
        const ROOT: &str = "MILLM_TEST_COPIES";
        if let Some(root) = env::var_os(ROOT) {
            for _ in 0..2 {
                let copy = Copies::open(Path::new(&root)).unwrap().write("lib.so", "ab", b"x").unwrap();
                assert_eq!((fs::read(&copy).unwrap(), mode(&copy)), (b"x".to_vec(), 0o500));
            }
            return;
        }
        let root = tempfile::tempdir().unwrap();
        for umask in ["0777", "0000"] {
            let mut child = Command::new("sh");
            child.args(["-c", "umask $0 && exec \"$@\"", umask]).arg(env::current_exe().unwrap());
            child.args(["copies::tests::the_umask_takes_nothing_from_the_copies", "--exact"]).env(ROOT, root.path());
            let output = child.output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{umask}: {text}");
        }
    }

    #[test]
    fn a_folder_above_that_everybody_can_change_is_named() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("data/copies");
        fs::create_dir_all(&root).unwrap();
        for (mode, expected) in [(0o755, None), (0o1777, None), (0o777, Some(outer.path()))] {
            fs::set_permissions(outer.path(), Permissions::from_mode(mode)).unwrap();
            assert_eq!(ownership::exposed_above(&root), expected, "{mode:o}");
        }
    }

    #[test]
    fn a_place_that_cannot_be_written_or_that_others_can_change_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let message = Copies::open(&file.join("copies")).unwrap_err().to_string();
        assert!(message.contains("file/copies"), "{message}");
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let message = Copies::open(root.path()).unwrap_err().to_string();
        assert!(message.contains("everybody"), "{message}");
    }
}
