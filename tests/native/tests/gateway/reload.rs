//! The document changes while the gateway serves (invariant 14).

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use tokio::sync::Semaphore;
use weir_native_tests::wait::{holds, until};
use weir_native_tests::{Act, Gateway, Launch, SIMULATED, Signal, Upstream, reply};

/// Serves `sim*`, and `name` as well.
fn document(name: &str) -> String {
    format!(
        "{SIMULATED}\n[[route]]\nmodel = \"{name}\"\nto = [{{ upstream = \"simulated\", model = \"sim\" }}]\n"
    )
}

async fn until_served(gateway: &Gateway, model: &str) {
    until(&format!("{model} is served"), async || holds(gateway.chat(model).await.status == 200)).await;
}

async fn until_reloads(gateway: &Gateway, outcome: &str, count: f64) {
    let label = format!("outcome=\"{outcome}\"");
    gateway
        .until_metrics(&format!("{count} reloads {outcome}"), |metrics| {
            metrics.sum("weir_config_reloads_total", &[&label]) >= count
        })
        .await;
}

#[tokio::test]
async fn a_file_that_is_written_over_takes_effect() {
    let gateway = Gateway::start(document("old")).await;
    fs::write(&gateway.file, document("new")).unwrap();
    until_served(&gateway, "new").await;
    assert_eq!(gateway.chat("old").await.status, 404);
    until_reloads(&gateway, "taken", 1.0).await;
}

/// As editors save.
#[tokio::test]
async fn a_file_that_is_renamed_into_place_takes_effect() {
    let gateway = Gateway::start(document("old")).await;
    for name in ["new", "newer"] {
        let beside = gateway.file.with_extension("swap");
        fs::write(&beside, document(name)).unwrap();
        fs::rename(&beside, &gateway.file).unwrap();
        until_served(&gateway, name).await;
    }
}

/// As the kubelet updates a `ConfigMap`: the file is a link through a link that is replaced.
#[tokio::test]
async fn a_config_map_that_is_updated_takes_effect() {
    let folder = tempfile::tempdir().unwrap();
    let version = |number: u32, name: &str| {
        let place = folder.path().join(format!("..v{number}"));
        fs::create_dir(&place).unwrap();
        fs::write(place.join("weir.toml"), document(name)).unwrap();
        symlink(format!("..v{number}"), folder.path().join("..data_tmp")).unwrap();
        fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    };
    version(1, "old");
    let file = folder.path().join("weir.toml");
    symlink("..data/weir.toml", &file).unwrap();
    let gateway = Launch::at(file).start().await;
    until_served(&gateway, "old").await;
    version(2, "new");
    until_served(&gateway, "new").await;
}

/// Nothing happens in the folder that is watched, and nobody sends a signal.
#[tokio::test]
async fn a_document_behind_a_link_takes_effect_when_its_target_changes() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let target = elsewhere.path().join("real.toml");
    fs::write(&target, document("old")).unwrap();
    let file = folder.path().join("weir.toml");
    symlink(&target, &file).unwrap();
    let gateway = Launch::at(file).start().await;
    until_served(&gateway, "old").await;
    fs::write(&target, document("new")).unwrap();
    until_served(&gateway, "new").await;
    until_reloads(&gateway, "taken", 1.0).await;
}

/// The folder is a link, and the link is swapped: nothing happens in either folder.
#[tokio::test]
async fn a_document_in_a_folder_behind_a_link_takes_effect_when_the_link_is_swapped() {
    let parent = tempfile::tempdir().unwrap();
    for name in ["old", "new"] {
        fs::create_dir(parent.path().join(name)).unwrap();
        fs::write(parent.path().join(name).join("weir.toml"), document(name)).unwrap();
    }
    let link = |name: &str| {
        symlink(name, parent.path().join("next")).unwrap();
        fs::rename(parent.path().join("next"), parent.path().join("current")).unwrap();
    };
    link("old");
    let gateway = Launch::at(parent.path().join("current/weir.toml")).start().await;
    until_served(&gateway, "old").await;
    link("new");
    until_served(&gateway, "new").await;
    link("old");
    gateway.signal(Signal::Hangup);
    until_served(&gateway, "old").await;
}

/// A credential in a file of its own: the signal is heeded at once.
#[tokio::test]
async fn a_hangup_reads_the_credentials_again() {
    let upstream = Upstream::start(|_| vec![reply::completion("hi")]).await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs::write(&key, "first\n").unwrap();
    let api_key = format!("api_key = {{ file = \"{}\" }}", key.display());
    let gateway = Gateway::start(upstream.document(&api_key)).await;
    assert_eq!(gateway.chat("m").await.status, 200);
    fs::write(&key, "second\n").unwrap();
    gateway.signal(Signal::Hangup);
    until_reloads(&gateway, "taken", 1.0).await;
    assert_eq!(gateway.chat("m").await.status, 200);
    let shown: Vec<_> =
        upstream.seen().iter().map(|seen| seen.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(shown, ["Bearer first", "Bearer second"]);
}

#[tokio::test]
async fn a_bad_file_is_refused_and_the_last_good_one_serves_on() {
    let gateway = Gateway::start(document("old")).await;
    for (count, bad) in [(1.0, "auth = \"opne\"\n"), (2.0, "no toml ["), (3.0, "")] {
        fs::write(&gateway.file, bad).unwrap();
        until_reloads(&gateway, "refused", count).await;
        assert_eq!(gateway.chat("old").await.status, 200, "after {bad:?}");
    }
    fs::remove_file(&gateway.file).unwrap();
    until_reloads(&gateway, "refused", 4.0).await;
    assert_eq!(gateway.chat("old").await.status, 200, "after its removal");
    let told = gateway.logs().iter().any(|line| {
        line["level"] == "ERROR"
            && line["message"].as_str().is_some_and(|text| text.contains("weir.toml:1: auth"))
    });
    assert!(told, "{}", gateway.program.stderr.text());
    fs::write(&gateway.file, document("new")).unwrap();
    until_served(&gateway, "new").await;
}

#[tokio::test]
async fn a_hangup_without_a_file_changes_nothing() {
    let gateway = Launch::trial().start().await;
    gateway.signal(Signal::Hangup);
    until_reloads(&gateway, "taken", 1.0).await;
    assert_eq!(gateway.chat("sim").await.status, 200);
}

#[tokio::test]
async fn a_stream_ends_by_the_configuration_it_began_with() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::start(move |seen| {
        if seen.json()["stream"] != true {
            return vec![reply::error("404 Not Found", "another call")];
        }
        let gate = Act::Gate(Arc::clone(&opened));
        vec![reply::stream_head(), reply::content("one"), gate, reply::content("two"), reply::farewell()]
    })
    .await;
    let gateway = Gateway::start(upstream.document("")).await;
    let mut flow = gateway.stream("anything").await;
    assert!(flow.event().await.unwrap().contains("one"));
    fs::write(&gateway.file, document("new")).unwrap();
    until_served(&gateway, "new").await;
    assert_eq!(gateway.chat("anything").await.status, 404);
    gate.add_permits(1);
    let rest = flow.events().await;
    assert!(rest[0].contains("two") && rest.last().unwrap() == "[DONE]", "{rest:?}");
}

/// The watch begins a moment after the file was read; what is written in between must not be lost.
#[tokio::test]
async fn a_change_right_after_the_start_is_not_lost() {
    for _ in 0..3 {
        let gateway = Launch::of(document("old")).say_listening().await;
        fs::write(&gateway.file, document("new")).unwrap();
        until_served(&gateway, "new").await;
    }
}

/// As the kubelet rotates a `Secret`: no file changes, a link does, and no signal comes.
#[tokio::test]
async fn a_secret_that_is_rotated_is_used_soon_and_one_that_vanishes_stays() {
    let upstream = Upstream::start(|_| vec![reply::completion("hi")]).await;
    let folder = tempfile::tempdir().unwrap();
    let version = |number: u32, key: &str| {
        let place = folder.path().join(format!("..v{number}"));
        fs::create_dir(&place).unwrap();
        fs::write(place.join("key"), key).unwrap();
        symlink(format!("..v{number}"), folder.path().join("..data_tmp")).unwrap();
        fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    };
    version(1, "first\n");
    let key = folder.path().join("key");
    symlink("..data/key", &key).unwrap();
    let api_key = format!("api_key = {{ file = \"{}\" }}", key.display());
    let gateway = Gateway::start(upstream.document(&api_key)).await;
    let shown = async || {
        assert_eq!(gateway.chat("m").await.status, 200);
        upstream.seen().last().unwrap().header("authorization").unwrap().to_owned()
    };
    assert_eq!(shown().await, "Bearer first");
    version(2, " second \n");
    until_reloads(&gateway, "taken", 1.0).await;
    assert_eq!(shown().await, "Bearer second");
    fs::remove_file(&key).unwrap();
    until_reloads(&gateway, "taken", 2.0).await;
    assert_eq!(shown().await, "Bearer second", "after its removal");
    fs::write(&key, "third").unwrap();
    until_reloads(&gateway, "taken", 3.0).await;
    assert_eq!(shown().await, "Bearer third");
    let said = gateway.everything_said().await;
    for secret in ["first", "second", "third"] {
        assert!(!said.contains(&format!("Bearer {secret}")), "{said}");
    }
}
