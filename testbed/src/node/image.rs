//! What stands for an image: one program of this machine, and what an image says of its processes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Image name → what stands for it.
pub type Images = BTreeMap<String, Image>;

/// Who the processes of an image are unless its pod says otherwise, as in our images: any user, in group 0, to which
/// mounted Secrets belong.
const USER: (u32, u32) = (65_532, 0);

/// A program of this machine that stands for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The program. In the pod it is where the container's command says, else at `/<its name>`.
    pub program: PathBuf,
    /// User and group of its processes unless the pod's security context says otherwise.
    pub user: (u32, u32),
    /// The flag that makes it listen on the pod's address alone: the pods of this machine share one network, where a
    /// port of all addresses could be had only once. `$(POD_IP)` is the address. Left out when the pod has that flag, or runs a command of the program (`check`).
    pub listen: Option<String>,
}

impl Image {
    /// A program that is told by its pod where to listen, or does not listen at all.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), user: USER, listen: None }
    }

    /// A program that listens on all addresses unless this flag says otherwise, such as `--bind-address=$(POD_IP)`.
    #[must_use]
    pub fn listening(mut self, flag: &str) -> Self {
        self.listen = Some(flag.to_owned());
        self
    }

    /// A server with the flags of Kubernetes' own servers: metrics-apiserver, prometheus-adapter.
    pub fn api_server(program: impl Into<PathBuf>) -> Self {
        Self::new(program).listening("--bind-address=$(POD_IP)")
    }

    /// Prometheus on its usual port.
    pub fn prometheus(program: impl Into<PathBuf>) -> Self {
        Self::new(program).listening("--web.listen-address=$(POD_IP):9090")
    }

    /// Where the program is in the pod.
    pub(super) fn path(&self, command: &[String]) -> PathBuf {
        match command.first() {
            Some(word) if word.starts_with('/') => PathBuf::from(word),
            _ => Path::new("/").join(self.program.file_name().unwrap_or(self.program.as_os_str())),
        }
    }

    /// The flag that is still missing among these arguments.
    pub(super) fn missing_flag(&self, args: &[String]) -> Option<&str> {
        let flag = self.listen.as_deref()?;
        let name = flag.split_once('=').map_or(flag, |(name, _)| name);
        let has = |arg: &String| arg == name || arg.strip_prefix(name).is_some_and(|it| it.starts_with('='));
        // prometheus-adapter's chart repeats the path of the program, which is no command.
        let is_command = args.first().is_some_and(|arg| !arg.starts_with(['-', '/']));
        (!is_command && !args.iter().any(has)).then_some(flag)
    }
}

impl From<PathBuf> for Image {
    fn from(program: PathBuf) -> Self {
        Self::new(program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_is_added_only_where_the_pod_has_none() {
        let image = Image::api_server("/target/debug/server");
        for (args, is_missing) in [
            (vec!["--secure-port=6443"], true),
            (vec!["/adapter", "--secure-port=6443"], true),
            (vec!["check", "--config=/etc/config.yaml"], false),
            (vec!["--bind-addresses=1"], true),
            (vec!["--bind-address=127.0.0.9"], false),
            (vec!["--bind-address", "127.0.0.9"], false),
        ] {
            let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
            assert_eq!(image.missing_flag(&args).is_some(), is_missing, "{args:?}");
        }
        assert_eq!(Image::new("/bin/true").missing_flag(&[]), None);
    }

    #[test]
    fn the_program_is_where_the_command_names_it() {
        let image = Image::new("/target/debug/server");
        assert_eq!(image.path(&[]), Path::new("/server"));
        assert_eq!(image.path(&["/bin/adapter".into(), "--v=1".into()]), Path::new("/bin/adapter"));
        assert_eq!(image.path(&["server".into()]), Path::new("/server"));
    }
}
