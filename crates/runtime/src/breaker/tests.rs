use super::*;

const OPTIONS: BreakerOptions = BreakerOptions { failures: 3, open_for: Period::from_secs(30), trials: 2 };

fn at(seconds: u64) -> Timestamp {
    Period::from_secs(seconds).after(Timestamp::UNIX_EPOCH)
}

fn open_at(now: Timestamp) -> Breaker {
    let mut breaker = Breaker::new(OPTIONS);
    for _ in 0..3 {
        let permit = breaker.admit(now).unwrap();
        breaker.failed(permit, now);
    }
    breaker
}

#[test]
fn opens_after_failures_in_a_row_only() {
    let mut breaker = Breaker::new(OPTIONS);
    for failed in [true, true, false, true, true] {
        let permit = breaker.admit(at(0)).unwrap();
        if failed { breaker.failed(permit, at(0)) } else { breaker.succeeded(permit) }
    }
    assert_eq!(breaker.state(at(0)), BreakerState::Closed);
    let permit = breaker.admit(at(0)).unwrap();
    breaker.failed(permit, at(0));
    assert_eq!(breaker.state(at(0)), BreakerState::Open);
    assert_eq!(breaker.admit(at(29)), Err(at(30)));
}

#[test]
fn half_open_lets_only_the_trials_through_and_closes_when_they_succeed() {
    let mut breaker = open_at(at(0));
    assert_eq!(breaker.state(at(30)), BreakerState::HalfOpen);
    let first = breaker.admit(at(30)).unwrap();
    let second = breaker.admit(at(30)).unwrap();
    assert!(breaker.admit(at(30)).is_err(), "a third trial must wait");
    breaker.succeeded(first);
    assert_eq!(breaker.state(at(30)), BreakerState::HalfOpen);
    breaker.succeeded(second);
    assert_eq!(breaker.state(at(30)), BreakerState::Closed);
}

#[test]
fn a_failed_trial_opens_it_again() {
    let mut breaker = open_at(at(0));
    let trial = breaker.admit(at(31)).unwrap();
    breaker.failed(trial, at(31));
    assert_eq!(breaker.state(at(60)), BreakerState::Open);
    assert_eq!(breaker.state(at(61)), BreakerState::HalfOpen);
}

#[test]
fn an_abandoned_trial_gives_its_place_back() {
    let mut breaker = open_at(at(0));
    for _ in 0..10 {
        let permit = breaker.admit(at(30)).unwrap();
        breaker.abandoned(permit);
    }
    assert!(breaker.admit(at(30)).is_ok());
}

#[test]
fn a_late_success_from_before_it_opened_does_not_close_it() {
    let mut breaker = Breaker::new(OPTIONS);
    let late = breaker.admit(at(0)).unwrap();
    for _ in 0..3 {
        let permit = breaker.admit(at(0)).unwrap();
        breaker.failed(permit, at(0));
    }
    breaker.succeeded(late);
    assert_eq!(breaker.state(at(1)), BreakerState::Open);
}
