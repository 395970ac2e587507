use super::*;

fn lv(name: &str) -> LvName {
    name.parse().expect("a name")
}

fn ids(kernel: u64, text: u64, stanzas: bool) -> Seen {
    Seen { pool: Some(Ids { kernel: Some(kernel), text, stanzas }), ..Seen::default() }
}

#[test]
fn nothing_left_is_nothing_to_do() {
    assert_eq!(decide(&Seen::default()), []);
    assert_eq!(decide(&ids(7, 7, false)), []);
}

/// The states that killing lvm2's or our commands leaves, by letter as lvm2's users meet them.
#[test]
fn each_state_of_pool_and_text_has_its_step() {
    let table = [
        // Announced, the pool not told; or told, and its id not raised.
        ((6, 7, true), Decision::ReplayMessages),
        // The pool has done it, the text still announces it.
        ((7, 7, true), Decision::DropStanzas),
        // An older text was restored, with or without messages of its own.
        ((9, 7, false), Decision::RaiseText { to: 9 }),
        ((9, 7, true), Decision::RaiseText { to: 9 }),
        // The text was raised and its messages dropped too early.
        ((6, 7, false), Decision::SetKernelId { from: 6, to: 7 }),
        // No crash explains it.
        ((5, 7, false), Decision::Refuse { kernel: 5, text: 7 }),
        ((5, 7, true), Decision::Refuse { kernel: 5, text: 7 }),
    ];
    for ((kernel, text, stanzas), decision) in table {
        assert_eq!(decide(&ids(kernel, text, stanzas)), [Step::Align(decision)]);
    }
}

#[test]
fn an_inactive_pool_is_looked_at_where_messages_wait() {
    let of = |stanzas| {
        let pool = Ids { kernel: None, text: 7, stanzas };
        decide(&Seen { pool: Some(pool), ..Seen::default() })
    };
    assert_eq!(of(false), []);
    assert_eq!(of(true), [Step::Look(Ids { kernel: None, text: 7, stanzas: true })]);
}

#[test]
fn devices_go_on_first_and_what_is_open_is_left_alone() {
    let seen = Seen {
        put_back: vec!["lost".into()],
        asleep: vec!["vg-a".into()],
        unborn: vec!["vg-d".into()],
        unfinished: vec![(lv("a"), 0), (lv("b"), 1)],
        behind: vec!["one".into(), "two".into()],
        strays: vec![(9, 3)],
        lost: vec![lv("c")],
        beyond: vec!["missing".into()],
        ..ids(7, 7, true)
    };
    let steps = decide(&seen);
    assert_eq!(
        steps,
        [
            Step::PutBack("lost".into()),
            Step::Wake("vg-a".into()),
            Step::Discard("vg-d".into()),
            Step::Align(Decision::DropStanzas),
            Step::Remove(lv("a")),
            Step::LeaveAlone(lv("b")),
            Step::Refresh("one".into()),
            Step::Refresh("two".into()),
            Step::Keep(9, 3),
            Step::Lost(lv("c")),
            Step::Tell("missing".into()),
        ]
    );
    let outcomes: Vec<Outcome> = steps.iter().map(Step::planned).collect();
    use Outcome::{ForYou, LeftAlone, Pending};
    let told = [
        Pending, Pending, Pending, Pending, Pending, LeftAlone, Pending, Pending, ForYou, ForYou,
        ForYou,
    ];
    assert_eq!(outcomes, told);
}
