use super::Seen;

#[test]
fn each_count_of_an_event_is_new_once_and_memory_is_bounded() {
    let mut seen = Seen::new(2);
    for (uid, count, new) in [
        ("a", 1, true),
        ("a", 1, false),
        ("a", 3, true),
        ("a", 2, false), // an older state that came late
        ("b", 1, true),
        ("c", 1, true), // a and b grow old
        ("a", 3, false),
        ("d", 1, true), // b is forgotten, a was renewed
        ("a", 3, false),
        ("b", 1, true),
    ] {
        assert_eq!(seen.insert(&uid.into(), count), new, "{uid} {count}");
        assert!(seen.young.len() <= 2 && seen.old.len() <= 2);
    }
}
