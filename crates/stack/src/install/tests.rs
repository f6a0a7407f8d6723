use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A tool's name that no other test uses; its folder is removed at the end.
struct Tool(&'static str);

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = remove_folder(&tools_folder().join(self.0));
        let _ = fs::remove_file(tools_folder().join(format!(".{}.lock", self.0)));
    }
}

#[test]
fn ten_that_install_at_once_install_once() {
    let tool = Tool("test-at-once");
    let (made, barrier) = (AtomicU32::new(0), Barrier::new(10));
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                barrier.wait();
                let folder = ensure(tool.0, "1", |folder| {
                    made.fetch_add(1, Ordering::Relaxed);
                    fs::write(folder.join("program"), "").unwrap();
                    Ok(())
                });
                assert!(folder.unwrap().join("program").exists(), "nobody returns before it is whole");
            });
        }
    });
    assert_eq!(made.into_inner(), 1);
}

#[test]
fn another_version_and_an_interrupted_one_are_made_anew() {
    let tool = Tool("test-versions");
    let make = |version: &str, file: &'static str| {
        ensure(tool.0, version, |folder| fs::write(folder.join(file), "").map_err(unreadable))
    };
    let folder = make("1", "one").unwrap();
    let failed = ensure(tool.0, "2", |folder| {
        fs::write(folder.join("half"), "").unwrap();
        Err(unreadable(io::Error::other("interrupted")))
    });
    assert!(failed.is_err());

    make("2", "two").unwrap();

    assert!(folder.join("two").exists());
    assert!(!folder.join("one").exists() && !folder.join("half").exists());
}

#[test]
fn a_failing_command_is_shown_with_its_last_words() {
    let error =
        run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).unwrap_err().to_string();
    for part in ["sh -c", "exit status: 3", "out", "err"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_versions_of_what_is_compared_are_known() {
    for package in ["django-post_office", "Django", "django-ses", "boto3", "PyMySQL"] {
        assert!(PostOfficeTool::version(package).is_some(), "{package} is not pinned");
    }
    assert_eq!(PostOfficeTool::version("post_office"), None);
}

fn unreadable(source: io::Error) -> InstallError {
    InstallError::File { action: "write", path: PathBuf::new(), source }
}

#[tokio::test]
#[ignore = "fetches 40 MB; run it after the installer of RabbitMQ was changed"]
async fn an_unpacked_broker_runs() {
    let tool = Tool("test-rabbitmq");
    let unpacked = rabbitmq::unpacked(tool.0).unwrap();
    assert!(unpacked.server.starts_with(tools_folder()) && unpacked.erlang.starts_with(tools_folder()));

    let options = crate::rabbitmq::Options::default().tls();

    let broker = crate::rabbitmq::Rabbitmq::start_with(unpacked, &options).await.unwrap();

    let maps = fs::read_to_string(format!("/proc/{}/maps", broker.pid().unwrap())).unwrap();
    assert!(maps.contains("test-rabbitmq") && !maps.contains(" /usr/lib/erlang"), "{maps}");
}

#[test]
#[ignore = "fetches half a gigabyte on a fresh machine; run it after the pinned versions were changed"]
fn every_tool_answers() {
    let mysql = mysql().unwrap();
    let (sam, node) = (sam().unwrap(), node::from_wheel().unwrap().0);
    for (program, args) in [
        (&mariadb().unwrap().server, vec!["--version".to_owned()]),
        (&mysql.loader, [mysql.loader_args.clone(), vec!["--version".into()]].concat()),
        (
            &ministack().unwrap().python,
            vec!["-c".into(), "import ministack, samtranslator; print('both')".into()],
        ),
        (&sam.sam, vec!["--version".into()]),
        (&sam.cargo_lambda, vec!["lambda".into(), "--version".into()]),
        (&cfn_lint().unwrap().cfn_lint, vec!["--version".into()]),
        (&rabbitmq().unwrap().erlang.join("erl"), vec!["-noshell".into(), "-eval".into(), "halt().".into()]),
        (
            &post_office().unwrap().python,
            vec!["-c".into(), "import post_office, django_ses, pymysql; print('all three')".into()],
        ),
        (&cargo_deny().unwrap().cargo_deny, vec!["--version".into()]),
        (&inbox().unwrap().node, vec!["--version".into()]),
        (&node, vec!["--version".into()]),
    ] {
        let answer = run(Command::new(program).args(args)).unwrap();
        println!("{}: {}", program.display(), answer.trim());
    }
}

/// An image's files are laid out as Oracle's packages lay them out, and those bring libraries of their own.
#[test]
fn a_mysql_server_is_found_in_the_layout_of_debian_and_of_oracle() {
    let loader = if cfg!(target_arch = "aarch64") { "ld-linux-aarch64.so.1" } else { "ld-linux-x86-64.so.2" };
    let root = tempfile::tempdir().unwrap();
    let make = |path: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    };
    let loader_file = format!("usr/lib64/{loader}");
    for file in [
        "usr/sbin/mysqld",
        "usr/lib64/mysql/private/libprotobuf-lite.so",
        &loader_file,
        "usr/lib64/mysql/plugin/one.so",
    ] {
        make(file);
        assert!(matches!(mysql_below(root.path()), Err(InstallError::Missing { .. })), "{file} is not all");
    }
    make("usr/share/mysql-8.4/english/errmsg.sys");

    let tool = mysql_below(root.path()).unwrap();

    let usr = root.path().join("usr").display().to_string();
    assert_eq!(tool.loader.display().to_string(), format!("{usr}/lib64/{loader}"));
    assert_eq!(tool.loader_args[1], format!("{usr}/lib64:{usr}/lib64/mysql/private"));
    assert_eq!(
        tool.path_args,
        [
            format!("--lc-messages-dir={usr}/share/mysql-8.4"),
            format!("--character-sets-dir={usr}/share/mysql-8.4/charsets"),
            format!("--plugin-dir={usr}/lib64/mysql/plugin"),
        ]
    );
}
