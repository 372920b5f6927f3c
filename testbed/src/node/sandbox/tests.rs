use super::*;
use crate::Process;
use std::time::Duration;

const UNSHARE: &str = crate::node::UNSHARE;

/// A pod's folders with two volumes.
struct Pod {
    dir: tempfile::TempDir,
}

impl Pod {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let volumes = dir.path().join("volumes");
        for name in ["config", "shared"] {
            fs::create_dir_all(volumes.join(name)).unwrap();
        }
        fs::write(volumes.join("config/a"), "from the volume\n").unwrap();
        symlink("nowhere", volumes.join("config/..data")).unwrap();
        fs::set_permissions(volumes.join("shared"), fs::Permissions::from_mode(0o777)).unwrap();
        make_root(&dir.path().join("root"), "127.1.2.3 here\n").unwrap();
        Self { dir }
    }

    /// What a shell prints that runs `script` with this view.
    async fn run(&self, mounts: Vec<Mount>, read_only: bool, script: &str) -> String {
        let identity = Identity { user: 65_532, group: 0, groups: Vec::new() };
        let view = View { program: "/bin/program".into(), mounts, identity, read_only };
        let namespaces = Namespaces::find(Path::new(UNSHARE)).unwrap();
        let (root, volumes) = (self.dir.path().join("root"), self.dir.path().join("volumes"));
        let mut command = namespaces.run(&view, Path::new("/bin/sh"), &root, &volumes).unwrap();
        command.args(["-c", script]).env_clear();
        let log = self.dir.path().join("log");
        let process = Process::start("program", &mut command, &log).unwrap();
        process.ended(Duration::from_secs(60)).await.unwrap();
        fs::read_to_string(log).unwrap()
    }
}

fn mount(volume: &str, path: &str, sub_path: Option<&str>, read_only: bool) -> Mount {
    Mount { volume: volume.into(), path: path.into(), sub_path: sub_path.map(str::to_owned), read_only }
}

/// What a script sees without `cat`, `id` and `ls`.
const LOOK: &str = "while read -r line; do echo \"$line\"; done < ";

#[tokio::test]
async fn a_container_sees_its_volumes_its_hosts_and_little_else() {
    let pod = Pod::new();
    let mounts = vec![mount("shared", "/tmp", None, false), mount("config", "/etc/app", None, true)];
    let script = format!(
        "{LOOK}/etc/app/a; {LOOK}/etc/hosts; echo /*; echo $0; echo x > /tmp/x && {LOOK}/tmp/x; \
         (echo x > /etc/app/b) 2>/dev/null || echo read-only; (echo x > /y) 2>/dev/null || echo root"
    );
    let seen = pod.run(mounts, true, &script).await;
    let seen = seen.replace("/lib32 ", "").replace("/lib64 ", "");
    let expected = "from the volume\n127.1.2.3 here\n/bin /dev /etc /lib /proc /tmp /usr\n/bin/program\nx\nread-only\nroot\n";
    assert_eq!(seen, expected);
    assert!(pod.dir.path().join("volumes/shared/x").exists());
}

#[tokio::test]
async fn a_container_runs_as_its_user_alone() {
    let pod = Pod::new();
    let script = "while read -r name id rest; do case $name in Uid:|Gid:|Groups:) echo $name $id;; esac; done \
                  < /proc/self/status";
    let mounts = vec![mount("shared", "/tmp", None, false)];
    let seen = pod.run(mounts, false, script).await;
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[..2], ["Uid: 65532", "Gid: 0"], "{seen}");
    // As after a crash: the root is there already.
    let again = pod.run(vec![mount("shared", "/tmp", None, false)], false, "echo again").await;
    assert_eq!(again, format!("{seen}again\n"));
}

#[tokio::test]
async fn a_sub_path_is_one_file_or_folder_of_a_volume() {
    let pod = Pod::new();
    let mounts = vec![
        mount("config", "/etc/app.conf", Some("a"), true),
        mount("shared", "/data", Some("mine"), false),
    ];
    let seen = pod.run(mounts, false, "read -r line < /etc/app.conf; echo $line; echo x > /data/x").await;
    assert_eq!(seen, "from the volume\n");
    assert!(pod.dir.path().join("volumes/shared/mine/x").exists());

    let volumes = pod.dir.path().join("volumes");
    let missing = source(&volumes, &mount("config", "/x", Some("missing"), true)).unwrap_err();
    assert!(missing.to_string().contains("subPath `missing` does not exist"), "{missing}");
    let outside = source(&volumes, &mount("shared", "/x", Some("../config"), true)).unwrap_err();
    assert!(outside.to_string().contains("leads out of the volume"), "{outside}");
}

#[test]
fn a_kernel_that_forbids_namespaces_is_reported_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let unshare = dir.path().join("unshare");
    fs::write(&unshare, "#!/bin/sh\necho unshare failed: Operation not permitted >&2\nexit 1\n").unwrap();
    fs::set_permissions(&unshare, fs::Permissions::from_mode(0o755)).unwrap();
    for (program, expected) in
        [(unshare, "Operation not permitted"), (dir.path().join("none"), "of util-linux")]
    {
        let error = format!("{:#}", Namespaces::find(&program).unwrap_err());
        assert!(error.contains("CAP_SYS_ADMIN") && error.contains(expected), "{error}");
    }
}
