//! A PostgreSQL server of our own for a run of the tests, beside whatever the machine has.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::fs::{DirBuilderExt, MetadataExt, chown},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

const OLDEST: u32 = 14;
const NAME: &str = "millm-postgres-";
const PASSWORD: &str = "for tests only";
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server. Dropped, it ends, and its folder is removed.
pub(crate) struct Server {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Server {
    /// Starts one; installs PostgreSQL first if there is none and we may. It ends with the thread that calls this.
    pub(crate) fn start() -> Result<Self> {
        let programs = programs()?;
        let user = User::find()?;
        remove_leftovers();
        let folder = env::temp_dir().join(format!("{NAME}{}", process::id()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let started = user.own(&folder).and_then(|()| initialise(&programs, &user, &folder)).and_then(|data| {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let child = serve(&programs, &user, &folder, &data, port)?;
            Ok((Self { child, folder: folder.clone(), port }, data))
        });
        let (mut server, data) = match started {
            Ok(started) => started,
            Err(error) => {
                let _ = fs::remove_dir_all(&folder);
                return Err(error);
            }
        };
        server.wait(&data)?;
        Ok(server)
    }

    /// Where it listens, for somebody who may do everything.
    pub(crate) fn url(&self) -> String {
        format!("postgres://millm:{}@127.0.0.1:{}/postgres", PASSWORD.replace(' ', "%20"), self.port)
    }

    /// Until it takes connections, which it says in the last line of its lock file.
    fn wait(&mut self, data: &Path) -> Result<()> {
        let log = self.folder.join("log");
        let until = Instant::now() + PATIENCE;
        loop {
            let lock = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            if lock.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                return Ok(());
            }
            if self.child.try_wait()?.is_some() || Instant::now() > until {
                bail!("PostgreSQL does not start: {}", fs::read_to_string(&log).unwrap_or_default());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGINT: ends at once, without waiting for clients.
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Who runs the server, which refuses to be root.
struct User {
    /// Of the user `postgres`, if we are root.
    ids: Option<(u32, u32)>,
}

impl User {
    fn find() -> Result<Self> {
        if !is_root()? {
            return Ok(Self { ids: None });
        }
        let passwd = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        let line = passwd.lines().find(|line| line.starts_with("postgres:"));
        let line = line.context("there is no user postgres, whom the package postgresql makes")?;
        let mut numbers = line.split(':').skip(2).map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(user)), Some(Ok(group))) => Ok(Self { ids: Some((user, group)) }),
            _ => bail!("cannot read the line of postgres in /etc/passwd: {line}"),
        }
    }

    fn own(&self, path: &Path) -> Result<()> {
        let Some((user, group)) = self.ids else { return Ok(()) };
        chown(path, Some(user), Some(group)).with_context(|| format!("cannot give {} away", path.display()))
    }

    /// `program` as that user. It gets a SIGINT when we end in whatever way.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "INT"]);
        if let Some((user, group)) = self.ids {
            command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).arg("--clear-groups");
        }
        command.arg(program);
        // Settings of the caller's own server are not meant for this one.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command
    }
}

fn is_root() -> Result<bool> {
    Ok(fs::metadata("/proc/self").context("cannot read /proc/self")?.uid() == 0)
}

/// The folder of the newest server's programs.
fn programs() -> Result<PathBuf> {
    if let Some(folder) = find() {
        return Ok(folder);
    }
    if is_root()? {
        // A fresh container knows of no packages before the first. What goes wrong, apt-get says itself.
        for arguments in [&["update"][..], &["install", "--yes", "postgresql"]] {
            let _ = Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").status();
        }
    }
    find().with_context(|| {
        format!("the tests need initdb and postgres of PostgreSQL {OLDEST} or later; install the package postgresql")
    })
}

fn find() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let packaged = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let folders = env::split_paths(&path).chain(packaged.map(|entry| entry.path().join("bin")));
    let versions = folders.filter_map(|folder| Some((version(&folder)?, folder)));
    versions.filter(|(version, _)| *version >= OLDEST).max_by_key(|(version, _)| *version).map(|(_, folder)| folder)
}

/// The major version of the server in a folder that has all we need.
fn version(folder: &Path) -> Option<u32> {
    if !folder.join("initdb").exists() {
        return None;
    }
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    // `postgres (PostgreSQL) 15.17 (Debian 15.17-0+deb12u1)`
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().nth(2)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Makes a cluster in `folder`; its folder.
fn initialise(programs: &Path, user: &User, folder: &Path) -> Result<PathBuf> {
    let (data, password) = (folder.join("data"), folder.join("password"));
    fs::write(&password, PASSWORD)?;
    user.own(&password)?;
    let output = user
        .command(&programs.join("initdb"))
        .args(["--username=millm", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"])
        .arg("--pwfile")
        .arg(&password)
        .arg("--pgdata")
        .arg(&data)
        .current_dir(folder)
        .output()
        .context("cannot run setpriv, of the package util-linux")?;
    ensure!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(data)
}

fn serve(programs: &Path, user: &User, folder: &Path, data: &Path, port: u16) -> Result<Child> {
    let log = fs::File::create(folder.join("log"))?;
    let mut command = user.command(&programs.join("postgres"));
    command.arg("-D").arg(data).args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    // What is in it need not survive the machine. The path of a socket might be too long.
    for setting in ["fsync=off", "full_page_writes=off", "max_connections=300", "unix_socket_directories="] {
        command.args(["-c", setting]);
    }
    command.current_dir(folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().context("cannot run setpriv, of the package util-linux")
}

/// Folders of runs that were killed. In containers this process may have the number of one of them.
fn remove_leftovers() {
    for entry in fs::read_dir(env::temp_dir()).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix(NAME)).and_then(|id| id.parse::<u32>().ok());
        if id.is_some_and(|id| id == process::id() || !Path::new("/proc").join(id.to_string()).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_server_listens_until_it_is_dropped() {
        let server = Server::start().unwrap();
        let (folder, port) = (server.folder.clone(), server.port);
        assert!(server.url().ends_with(&format!("@127.0.0.1:{port}/postgres")));
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        drop(server);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        assert!(!folder.exists());
    }
}
