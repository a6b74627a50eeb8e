//! What the user asked for: flags, then environment, then `millm.toml`, then defaults.

mod file;
mod options;

use std::{
    env,
    ffi::OsString,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, ensure};
use millm_store::Location;

pub(crate) use self::options::Options;
use crate::{http::ApiKey, logging::LogFormat};

/// The settings of a run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The file that was read, if there was one.
    pub(crate) file: Option<PathBuf>,
    /// Resolved and allowed: loopback, or there is an API key.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) data_dir: PathBuf,
    /// Where the host's state is kept.
    pub(crate) database: Location,
    /// Folders or hub ids. Empty stands for those that were loaded when the host last ran.
    pub(crate) models: Vec<String>,
    pub(crate) plugin_dirs: Vec<PathBuf>,
    pub(crate) api_key: Option<ApiKey>,
    /// 0 takes one per core.
    pub(crate) threads: usize,
    pub(crate) kv_bytes: u64,
    /// Bytes that all models together may take.
    pub(crate) memory_limit: Option<u64>,
    pub(crate) auto_load: bool,
    pub(crate) max_sequences: usize,
    /// How long running texts may wait for their next token while prompts are computed.
    pub(crate) step_target: Duration,
    pub(crate) cache_prompts: bool,
    pub(crate) request_timeout: Option<Duration>,
    /// Of the activations of one capture.
    pub(crate) capture_bytes: u64,
    pub(crate) shutdown_grace: Duration,
    pub(crate) log_format: LogFormat,
}

impl Settings {
    /// Reads the file and fills what is left open with defaults.
    pub(crate) fn resolve(config: Option<PathBuf>, options: Options) -> anyhow::Result<Self> {
        let default_data_dir = match &options.data_dir {
            Some(folder) => folder.clone(),
            None => default_data_dir(env::var_os("XDG_DATA_HOME"), env::home_dir())?,
        };
        let (file, from_file) = file::find(config, &default_data_dir)?.unzip();
        let options = options.or(from_file.unwrap_or_default());
        let host = options.host.unwrap_or_else(|| "127.0.0.1".into());
        let port = options.port.unwrap_or(8080);
        let addresses = resolve_host(&host, port)?;
        ensure!(
            options.api_key.is_some() || addresses.iter().all(|address| address.ip().is_loopback()),
            "host {host} can be reached from other machines, so an API key is required: set --api-key, \
             MILLM_API_KEY or api-key in millm.toml"
        );
        ensure!(options.max_sequences != Some(0), "max-sequences must be at least 1");
        ensure!(options.request_timeout != Some(0), "request-timeout must be at least 1");
        let kv_cache_mib = options.kv_cache_mib.unwrap_or(1024);
        let capture_limit_mib = options.capture_limit_mib.unwrap_or(256);
        let memory_limit = options.memory_limit_mib.map(|mib| mib.checked_mul(1 << 20));
        let data_dir = options.data_dir.unwrap_or(default_data_dir);
        let database = match &options.database_url {
            Some(url) => Location::parse_url(url).context("database-url")?,
            None => Location::Sqlite(data_dir.join("millm.db")),
        };
        Ok(Self {
            file,
            addresses,
            data_dir,
            database,
            models: options.model,
            plugin_dirs: options.plugin_dir,
            api_key: options.api_key,
            threads: options.threads.unwrap_or(0),
            kv_bytes: kv_cache_mib.checked_mul(1 << 20).context("kv-cache-mib is too large")?,
            memory_limit: memory_limit.map(|bytes| bytes.context("memory-limit-mib is too large")).transpose()?,
            auto_load: options.auto_load.unwrap_or(true),
            max_sequences: options.max_sequences.unwrap_or(64),
            step_target: Duration::from_millis(options.step_target_ms.unwrap_or(200).into()),
            cache_prompts: options.cache_prompts.unwrap_or(true),
            request_timeout: options.request_timeout.map(Duration::from_secs),
            capture_bytes: capture_limit_mib.checked_mul(1 << 20).context("capture-limit-mib is too large")?,
            shutdown_grace: Duration::from_secs(options.shutdown_grace.unwrap_or(30)),
            log_format: options.log_format.unwrap_or_default(),
        })
    }
}

fn default_data_dir(xdg_data_home: Option<OsString>, home: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    // The XDG specification has relative paths ignored.
    let xdg = xdg_data_home.map(PathBuf::from).filter(|folder| folder.is_absolute());
    let folder = xdg.or_else(|| Some(home?.join(".local/share")));
    Ok(folder.context("there is no home folder; set --data-dir")?.join("millm"))
}

fn resolve_host(host: &str, port: u16) -> anyhow::Result<Vec<SocketAddr>> {
    let addresses = (host, port).to_socket_addrs().with_context(|| format!("cannot resolve host {host:?}"))?;
    Ok(addresses.collect())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn resolve(flags: &[&str]) -> Result<Settings, String> {
        let line = ["millm", "serve"].iter().chain(flags);
        let command = Cli::try_parse_from(line).map_err(|error| error.to_string())?.command;
        let Command::Serve(serve) = command else { panic!("serve was asked for") };
        Settings::resolve(serve.config, serve.options).map_err(|error| format!("{error:#}"))
    }

    fn with_file(text: &str, flags: &[&str]) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("millm.toml"), text).unwrap();
        let data_dir = folder.path().to_str().unwrap();
        resolve(&[&["--data-dir", data_dir], flags].concat())
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file = "port = 1\nmodel = [\"a/b\", \"c/d\"]\nthreads = 3\nlog-format = \"json\"";
        let settings = with_file(file, &["--port", "2", "--max-sequences", "5"]).unwrap();
        assert_eq!(settings.addresses, ["127.0.0.1:2".parse().unwrap()]);
        assert_eq!(settings.models, ["a/b", "c/d"]);
        assert_eq!((settings.threads, settings.max_sequences, settings.kv_bytes), (3, 5, 1 << 30));
        assert_eq!(settings.capture_bytes, 256 << 20);
        assert_eq!(settings.log_format, LogFormat::Json);
        assert_eq!(with_file(file, &["--model", "e/f"]).unwrap().models, ["e/f"]);
    }

    #[test]
    fn a_wrong_file_is_refused_with_its_line_and_the_name_of_the_key() {
        for (text, expected) in [
            ("port = 1\nprot = 2", "millm.toml:2: unknown field `prot`"),
            ("port = \"x\"", "millm.toml:1: invalid type: string \"x\", expected u16"),
            ("port = 70000", "millm.toml:1: invalid value"),
            ("host = ", "millm.toml:1: "),
            ("log-format = \"xml\"", "unknown variant `xml`"),
            ("api-key = \"\"", "must not be empty"),
            ("max-sequences = 0", "max-sequences must be at least 1"),
        ] {
            let message = with_file(text, &[]).unwrap_err();
            assert!(message.contains(expected) && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn a_config_file_that_is_asked_for_must_exist() {
        let message = resolve(&["--config", "/nonexistent/millm.toml"]).unwrap_err();
        assert!(message.contains("/nonexistent/millm.toml"), "{message}");
    }

    #[test]
    fn paths_in_the_file_are_relative_to_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("here")).unwrap();
        let path = folder.path().join("settings.toml");
        fs::write(&path, "data-dir = \"data\"\nplugin-dir = [\"p\"]\nmodel = [\"here\", \"org/model\"]").unwrap();
        let settings = resolve(&["--config", path.to_str().unwrap()]).unwrap();
        assert_eq!(settings.data_dir, folder.path().join("data"));
        assert_eq!(settings.plugin_dirs, [folder.path().join("p")]);
        assert_eq!(settings.models, [folder.path().join("here").to_str().unwrap(), "org/model"]);
    }

    #[test]
    fn other_machines_are_let_in_only_with_a_key() {
        for host in ["0.0.0.0", "::", "192.0.2.1"] {
            let message = with_file("", &["--host", host]).unwrap_err();
            assert!(message.contains("API key") && message.contains(host), "{message}");
            with_file("", &["--host", host, "--api-key", "k"]).unwrap();
        }
        for host in ["127.0.0.1", "::1", "localhost", "127.8.8.8"] {
            with_file("", &["--host", host]).unwrap();
        }
    }

    #[test]
    fn keys_do_not_show_in_debug_output() {
        let settings = with_file("", &["--api-key", "swordfish"]).unwrap();
        assert!(!format!("{settings:?}").contains("swordfish"));
    }

    #[test]
    fn the_data_folder_follows_xdg() {
        let home = || Some(PathBuf::from("/home/a"));
        let of = |xdg: Option<&str>, home| default_data_dir(xdg.map(OsString::from), home);
        assert_eq!(of(Some("/x"), home()).unwrap(), Path::new("/x/millm"));
        assert_eq!(of(Some("relative"), home()).unwrap(), Path::new("/home/a/.local/share/millm"));
        assert_eq!(of(None, home()).unwrap(), Path::new("/home/a/.local/share/millm"));
        assert!(of(None, None).is_err());
    }
}
