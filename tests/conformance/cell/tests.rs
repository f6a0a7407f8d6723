use std::collections::BTreeSet;

use super::{Cell, Events, Policy, Step, World};

#[test]
fn every_cell_has_a_name_of_its_own() {
    let all = Cell::all();
    assert!(all.len() >= 500, "{} cells", all.len());
    let names: BTreeSet<_> = all.iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), all.len());
    for cell in &all {
        assert_eq!(cell.to_string().parse(), Ok(*cell));
    }
    assert!(
        "ses_took/old_events/events_off/hold".parse::<Cell>().is_err(),
        "nothing is sent again under hold"
    );
}

#[test]
fn the_selection_leaves_nothing_out() {
    let (all, some) = (Cell::all(), Cell::some());
    assert!(some.iter().all(|cell| all.contains(cell)));
    for step in Step::ALL {
        assert!(some.iter().any(|cell| cell.step == step && cell.world == World::Calm), "{}", step.name());
    }
    for world in World::ALL {
        assert!(some.iter().any(|cell| cell.world == world), "{}", world.name());
    }
    for (events, policy) in
        Events::ALL.into_iter().flat_map(|events| Policy::ALL.map(|policy| (events, policy)))
    {
        assert!(
            some.iter().any(|cell| (cell.events, cell.policy) == (events, policy)),
            "{} {}",
            events.name(),
            policy.name()
        );
    }
}

#[test]
fn chance_is_the_same_for_the_same_seed() {
    let early =
        |seed| Cell::all().iter().filter(|cell| cell.comes_back_early(seed)).copied().collect::<Vec<_>>();
    assert_eq!(early(1), early(1));
    assert_ne!(early(1), early(2));
    assert!((200..700).contains(&early(1).len()), "{} of them", early(1).len());
}
