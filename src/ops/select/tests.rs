//! How snapshots are named and filtered.

use super::*;

fn root(id: u8, time: i64, host: &str, tags: &[&str]) -> SnapshotRoot {
    SnapshotRoot {
        series: format!("{host}:/data"),
        host: host.into(),
        user: "anna".into(),
        time,
        paths: vec![b"/data".to_vec(), b"/more".to_vec()],
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        program: "snap".into(),
        ..SnapshotRoot::nothing(SnapshotId::new([id; 16]))
    }
}

fn listing() -> Listing {
    let snapshots = vec![
        root(0x11, 10, "a", &["x"]),
        root(0x12, 20, "b", &["x", "y"]),
        root(0x21, 30, "a", &[]),
        root(0x31, 40, "b", &["y"]),
    ];
    let unreadable = vec![(SnapshotId::new([0x32; 16]), Error::WorkerStopped)];
    Listing { snapshots, unreadable, now: 100 }
}

fn pick(text: &str, filter: &Filter) -> Result<u8> {
    pick_of(&mut listing(), text, filter)
}

fn pick_of(listing: &mut Listing, text: &str, filter: &Filter) -> Result<u8> {
    let root = Selector::parse(text.as_bytes())?.settled(listing).pick(listing, filter)?;
    Ok(root.id.as_bytes()[0])
}

fn delete_of(listing: &Listing, text: &str, filter: &Filter) -> Result<u8> {
    let id = Selector::parse(text.as_bytes())?.settled(listing).pick_to_delete(listing, filter)?;
    Ok(id.as_bytes()[0])
}

fn doubts_of(listing: &Listing, text: &str, filter: &Filter) -> Vec<Doubt> {
    Selector::parse(text.as_bytes()).unwrap().settled(listing).doubts(listing, filter)
}

/// The listing without what cannot be read.
fn readable() -> Listing {
    Listing { unreadable: Vec::new(), ..listing() }
}

#[test]
fn one_snapshot_is_meant() {
    let all = Filter::default();
    for (text, expected) in [
        ("latest", 0x31),
        ("latest~0", 0x31),
        ("latest~1:a/b", 0x12),
        ("a:/data:latest", 0x21),
        ("a:/data:latest~1:a/b:c", 0x11),
        ("b:/data:latest:", 0x31),
        ("1111", 0x11),
        ("2", 0x21),
        ("12121212121212121212121212121212", 0x12),
        ("31", 0x31),
    ] {
        assert_eq!(pick(text, &all).unwrap(), expected, "{text}");
    }
    assert!(matches!(pick("latest~2", &all), Err(Error::NoSnapshot { wanted }) if wanted == "latest~2"));
    assert!(matches!(pick("ff", &all), Err(Error::NoSnapshot { .. })));
    assert!(matches!(pick("1", &all), Err(Error::AmbiguousSnapshot { count: 2, .. })));
    assert!(matches!(pick("3", &all), Err(Error::AmbiguousSnapshot { count: 2, .. })), "one cannot be read");
    assert!(matches!(pick("32", &all), Err(Error::WorkerStopped)), "what is wrong with it is reported");
    assert!(matches!(pick("x:latest", &all), Err(Error::NoSnapshot { wanted }) if wanted == "x:latest"));
    for wrong in [
        "",
        ":path",
        ":latest",
        "latest~+1",
        "latest~-1",
        "LATEST",
        "latest~",
        "latest~x",
        "latest2",
        "xyz",
        "latest:../x",
        "111111111111111111111111111111111",
    ] {
        assert!(matches!(pick(wrong, &all), Err(Error::InvalidArgument { .. })), "{wrong}");
    }
}

#[test]
fn filters_narrow_down_what_is_meant() {
    let tags = |lists: &[&[&str]]| {
        let tags = lists.iter().map(|list| list.iter().map(|tag| (*tag).to_owned()).collect()).collect();
        Filter { tag: tags, ..Filter::default() }
    };
    let fitting =
        |filter: &Filter| -> Vec<u8> { listing().fitting(filter).map(|root| root.id.as_bytes()[0]).collect() };
    assert_eq!(fitting(&Filter { host: vec!["a".into()], ..Filter::default() }), [0x11, 0x21]);
    assert_eq!(fitting(&Filter { series: vec!["b:/data".into()], ..Filter::default() }), [0x12, 0x31]);
    assert_eq!(fitting(&Filter { at: Some(29), ..Filter::default() }), [0x11, 0x12]);
    assert_eq!(fitting(&Filter { path: vec![b"/more".to_vec()], ..Filter::default() }).len(), 4);
    assert_eq!(fitting(&Filter { path: vec![b"/mor".to_vec()], ..Filter::default() }).len(), 0);
    assert_eq!(fitting(&tags(&[&["x", "y"]])), [0x12]);
    assert_eq!(fitting(&tags(&[&["x"], &["y"]])), [0x11, 0x12, 0x31]);
    assert_eq!(fitting(&tags(&[&[]])), [0x21]);
    assert_eq!(pick("latest", &Filter { at: Some(30), ..Filter::default() }).unwrap(), 0x21);
    assert!(pick("31", &Filter { at: Some(30), ..Filter::default() }).is_err());
}

#[test]
fn paths_are_written_as_manifests_write_them() {
    for (path, expected) in [("/a//b/./c/", "a/b/c"), ("", ""), ("/", ""), ("a", "a"), ("a:b", "a:b")] {
        assert_eq!(manifest_path(path.as_bytes()).unwrap(), expected.as_bytes(), "{path}");
    }
    assert!(manifest_path(b"a/../b").is_err() && manifest_path(b"a\0").is_err());
}

#[test]
fn latest_of_several_series_is_that_of_the_newest_and_says_so() {
    let (several, one) = (Filter::default(), Filter { host: vec!["a".into()], ..Filter::default() });
    let doubt = Doubt::SeveralSeries { count: 2, taken: "b:/data".into() };
    for text in ["latest", "latest~1", "latest:path"] {
        assert_eq!(doubts_of(&listing(), text, &several), std::slice::from_ref(&doubt), "{text}");
        assert_eq!(doubts_of(&listing(), text, &one), [], "{text}");
    }
    for text in ["a:/data:latest", "b:/data:latest~1:path", "2", "31"] {
        assert_eq!(doubts_of(&listing(), text, &several), [], "{text}");
    }
}

#[test]
fn a_snapshot_dated_in_the_future_is_not_latest() {
    let mut listing = listing();
    let ahead = listing.now + 3_600_000_000_000;
    listing.snapshots.push(root(0x41, ahead, "b", &[]));
    let all = Filter::default();
    assert_eq!(pick_of(&mut listing, "latest", &all).unwrap(), 0x31);
    assert_eq!(pick_of(&mut listing, "latest~1", &all).unwrap(), 0x12);
    assert_eq!(pick_of(&mut listing, "4141", &all).unwrap(), 0x41, "it can be named");
    let newest = SnapshotId::new([0x41; 16]);
    assert!(doubts_of(&listing, "latest", &all).contains(&Doubt::InTheFuture { count: 1, newest }));
    // A time that lies ahead is named on purpose.
    let until = Filter { at: Some(ahead), ..Filter::default() };
    assert_eq!(pick_of(&mut listing, "latest", &until).unwrap(), 0x41);
    // Clocks differ a little.
    listing.now = ahead - 60_000_000_000;
    assert_eq!(pick_of(&mut listing, "latest", &all).unwrap(), 0x41);
    listing.now = 0;
    listing.snapshots.retain(|root| root.time >= ahead);
    assert!(matches!(pick_of(&mut listing, "latest", &all), Err(Error::NoSnapshot { .. })));
}

#[test]
fn a_series_may_look_like_an_id() {
    let mut listing = readable();
    listing.snapshots.push(SnapshotRoot { series: "face:/data".into(), ..root(0x51, 50, "face", &[]) });
    let all = Filter::default();
    assert_eq!(pick_of(&mut listing, "face:/data:latest", &all).unwrap(), 0x51);
    let selector = Selector::parse(b"face:/data:latest:a").unwrap();
    assert_eq!((&selector.path[..], &selector.clone().settled(&listing).path[..]), (&b"data:latest:a"[..], &b"a"[..]));
    listing.snapshots.pop();
    assert_eq!(selector.settled(&listing).which, Which::Prefix("face".into()), "a file may have such a name");
}

#[test]
fn what_is_deleted_is_named_beyond_doubt() {
    let all = Filter::default();
    let one = Filter { series: vec!["a:/data".into()], ..Filter::default() };
    let listing = readable();
    assert_eq!(delete_of(&listing, "1212", &all).unwrap(), 0x12);
    assert_eq!(delete_of(&listing, "latest", &one).unwrap(), 0x21);
    assert_eq!(delete_of(&listing, "b:/data:latest~1", &all).unwrap(), 0x12);
    for refused in ["1", "12", "121", "latest", "latest~1", ""] {
        assert!(matches!(delete_of(&listing, refused, &all), Err(Error::InvalidArgument { .. })), "{refused}");
    }
    assert!(matches!(delete_of(&listing, "latest~2", &one), Err(Error::NoSnapshot { .. })));
    assert!(matches!(delete_of(&listing, "ffff", &all), Err(Error::NoSnapshot { .. })));
    // The latest one may be the one that cannot be read.
    let listing = self::listing();
    assert!(matches!(delete_of(&listing, "latest", &one), Err(Error::InvalidArgument { .. })));
    assert_eq!(delete_of(&listing, "3232", &all).unwrap(), 0x32);
}
