//! The exact values for every kind of cache.

use std::time::Duration;

use super::*;
use crate::config::cache::Backend;

fn backend(place: Place) -> Backend {
    Backend { place, read: true, write: true, mode: CacheMode::Max }
}

fn bucket() -> Bucket {
    Bucket {
        bucket: "caches".into(),
        region: None,
        prefix: Some("shop/".into()),
        name: "buildcache".into(),
        endpoint_url: None,
        path_style: false,
    }
}

fn around(branch: &Branch) -> Surroundings<'_> {
    Surroundings {
        repository: Some("r.example/app".into()),
        region: Some("eu-central-1"),
        branch,
        exports: true,
        gha: true,
        local: &[],
        unique: "u1",
        no_cache: false,
    }
}

fn container() -> Builder {
    Builder { driver: Driver::DockerContainer, ..Builder::default() }
}

const MAIN: fn() -> Branch = || Branch::Named("main".into());

fn of(config: &Cache, change: impl Fn(&mut Surroundings<'_>)) -> Caches {
    let branch = MAIN();
    let mut around = around(&branch);
    change(&mut around);
    caches(config, &container(), &around)
}

#[test]
fn the_registry_cache_has_what_ecr_needs() {
    let found = of(&Cache::default(), |_| {});
    assert_eq!(found.from, ["type=registry,ref=r.example/app:buildcache"]);
    assert_eq!(
        found.to,
        ["type=registry,ref=r.example/app:buildcache,mode=max,image-manifest=true,\
             oci-mediatypes=true,compression=zstd,ignore-error=true"]
    );
    let small = Cache { mode: CacheMode::Min, compression: Compression::Gzip, ..Cache::default() };
    assert!(of(&small, |_| {}).to[0].contains("mode=min,"));
    assert!(of(&small, |_| {}).to[0].contains("compression=gzip,"));
    assert_eq!(of(&Cache::default(), |around| around.exports = false).to, Vec::<String>::new());
    assert_eq!(of(&Cache::default(), |around| around.no_cache = true).from, Vec::<String>::new());
    assert_eq!(of(&Cache::default(), |around| around.repository = None), Caches::default());
    let none = Cache { tag: String::new(), ..Cache::default() };
    assert_eq!(of(&none, |_| {}), Caches::default());
}

#[test]
fn a_branch_reads_its_own_cache_first_and_writes_only_that() {
    let config = Cache {
        main_branch: Some("main".into()),
        backends: vec![
            backend(Place::S3(bucket())),
            backend(Place::Gha { scope: None, timeout: None }),
        ],
        ..Cache::default()
    };
    let branch = Branch::Named("x".into());
    let found = caches(&config, &container(), &around(&branch));
    assert_eq!(
        found.from,
        [
            "type=registry,ref=r.example/app:buildcache-x",
            "type=registry,ref=r.example/app:buildcache",
            "type=s3,region=eu-central-1,bucket=caches,prefix=shop/,name=buildcache-x",
            "type=s3,region=eu-central-1,bucket=caches,prefix=shop/,name=buildcache",
            "type=gha",
        ]
    );
    let written: Vec<_> = found.to.iter().map(|to| to.split(",mode").next().unwrap()).collect();
    assert_eq!(
        written,
        ["type=registry,ref=r.example/app:buildcache-x", "type=s3,region=eu-central-1", "type=gha"]
    );
    assert!(found.to[1].contains(",name=buildcache-x,"), "{}", found.to[1]);
    let found = caches(&config, &container(), &around(&Branch::Unknown));
    assert_eq!((found.from.len(), found.to.len()), (3, 1), "nobody answers for it: {found:?}");
}

#[test]
fn github_s_cache_has_no_token_in_the_command() {
    let place = Place::Gha { scope: Some("shop".into()), timeout: Some(Duration::from_secs(90)) };
    let config = Cache { tag: String::new(), backends: vec![backend(place)], ..Cache::default() };
    let found = of(&config, |_| {});
    assert_eq!(found.from, ["type=gha,scope=shop,timeout=0h1m30s"]);
    assert_eq!(found.to, ["type=gha,scope=shop,mode=max,timeout=0h1m30s,ignore-error=true"]);
    assert_eq!(of(&config, |around| around.gha = false), Caches::default());
}

#[test]
fn a_bucket_has_no_credentials_in_the_command() {
    let place = Place::S3(Bucket {
        region: Some("us-east-1".into()),
        endpoint_url: Some("https://s3.example".into()),
        path_style: true,
        ..bucket()
    });
    let config = Cache { tag: String::new(), backends: vec![backend(place)], ..Cache::default() };
    let found = of(&config, |_| {});
    let fields = "bucket=caches,prefix=shop/,name=buildcache,endpoint_url=https://s3.example,use_path_style=true";
    assert_eq!(found.from, [format!("type=s3,region=us-east-1,{fields}")]);
    assert_eq!(found.to, [format!("type=s3,region=us-east-1,mode=max,{fields},ignore-error=true")]);
    assert!(found.uses_s3);
    // The engine's own BuildKit does not know them: reading one would fail the build.
    let branch = MAIN();
    assert_eq!(caches(&config, &Builder::default(), &around(&branch)), Caches::default());
}

#[test]
fn a_folder_is_written_anew_and_read_where_it_is_there() {
    let path = PathBuf::from("/p/target/ca,che");
    let config = Cache {
        tag: String::new(),
        backends: vec![backend(Place::Local { path: path.clone() })],
        ..Cache::default()
    };
    let found = of(&config, |_| {});
    assert_eq!(found.from, Vec::<String>::new());
    assert_eq!(
        found.to,
        ["type=local,\"dest=/p/target/ca,che.new-u1\",mode=max,image-manifest=true,\
             oci-mediatypes=true,compression=zstd,ignore-error=true"]
    );
    let new = PathBuf::from("/p/target/ca,che.new-u1");
    assert_eq!(found.swaps, [Swap { new, path: path.clone() }]);
    let there = [path];
    let branch = MAIN();
    let around = Surroundings { local: &there, ..around(&branch) };
    let found = caches(&config, &container(), &around);
    assert_eq!(found.from, ["type=local,\"src=/p/target/ca,che\""]);
}

#[test]
fn another_registry_can_be_read_only() {
    let place = Place::Registry { reference: "other.example:5000/team/app:cache".into() };
    let only_read = Backend { write: false, ..backend(place) };
    let config = Cache { tag: String::new(), backends: vec![only_read], ..Cache::default() };
    let found = of(&config, |around| around.repository = None);
    assert_eq!(found.from, ["type=registry,ref=other.example:5000/team/app:cache"]);
    assert_eq!(found.to, Vec::<String>::new());
    assert_eq!(split("r:5000/a"), ("r:5000/a", "latest"));
}
