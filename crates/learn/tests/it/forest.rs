use kubewise_learn::adaptive_forest::{self as forest, AdaptiveForest};
use kubewise_learn::hoeffding_tree::{self as tree, HoeffdingTree};
use kubewise_learn::mersenne::Mersenne;

#[test]
fn a_tree_learns_a_border() {
    let mut model = HoeffdingTree::new(tree::Options::new(2, 2)).unwrap();
    let mut rng = Mersenne::new(1);
    assert_eq!(model.predict(&[0.1, 0.1]), Ok(None));
    let mut wrong = 0;
    for at in 0..6000 {
        let row = [rng.random(), rng.random()];
        let label = u16::from(row[0] > 0.3 && row[1] > 0.6);
        wrong += u32::from(at >= 4000 && model.predict(&row).unwrap() != Some(label));
        model.learn(&row, label, 1, &mut Mersenne::new(1)).unwrap();
    }
    assert!(wrong < 100, "{wrong} of 2000");
    assert!(model.leaves() > 2);
}

/// Rows predicted rightly and leaves, of 6,000 rows in River's HoeffdingTreeClassifier.
#[test]
fn a_tree_with_all_features_grows_as_in_river() {
    let check = |grace, delta, expect: (u32, usize)| {
        let options = tree::Options { grace, delta, ..tree::Options::new(3, 3) };
        let mut model = HoeffdingTree::new(options).unwrap();
        let mut rng = Mersenne::new(42);
        let mut right = 0;
        for at in 0..6000_u32 {
            let row = [rng.random(), rng.random(), rng.random()];
            let label = u16::from(row[0] > 0.3 && row[1] > 0.6) + u16::from(row[2] > 0.9);
            right += u32::from(model.predict(&row).unwrap() == Some(label));
            model.learn(&row, label, 1 + at % 3, &mut Mersenne::new(1)).unwrap();
        }
        assert_eq!((right, model.leaves()), expect);
    };
    check(50.0, 0.01, (5682, 17));
    check(200.0, 1e-7, (5335, 6));
}

#[test]
fn a_forest_follows_a_change() {
    let mut model = AdaptiveForest::new(forest::Options::new(4, 2, 42)).unwrap();
    let mut rng = Mersenne::new(1);
    let mut wrong = [0; 8];
    for at in 0..8000 {
        let row = [rng.random(), rng.random(), rng.random(), rng.random()];
        let label = u16::from((row[0] > 0.5) != (at >= 4000));
        wrong[at / 1000] += u32::from(model.predict_and_learn(&row, label).unwrap() != Some(label));
    }
    assert!(wrong[3] < 50 && wrong[7] < 50, "{wrong:?}");
    assert!(model.drifts() >= 10, "{}", model.drifts());
}

#[test]
fn the_shares_of_all_classes_are_the_votes_behind_the_prediction() {
    let mut model = AdaptiveForest::new(forest::Options::new(2, 3, 7)).unwrap();
    assert_eq!(model.share(&[0.5, 0.5], 0), Ok(None), "nothing was learnt");
    let mut rng = Mersenne::new(3);
    // Class 0 to the left, 1 to the right; in the middle either. Class 2 never comes.
    for _ in 0..3000 {
        let row = [rng.random(), rng.random()];
        let label = u16::from(row[0] > 0.4 + 0.2 * rng.random());
        model.learn(&row, label).unwrap();
    }
    let shares = |row: &[f64]| [0, 1, 2].map(|class| model.share(row, class).unwrap().unwrap());
    for place in 0..=20 {
        let row = [f64::from(place) / 20.0, 0.5];
        let all = shares(&row);
        assert!(
            (all.iter().sum::<f64>() - 1.0).abs() < 1e-9 && all.iter().all(|share| *share >= 0.0),
            "{all:?}"
        );
        let likeliest = u16::from(all[0] < all[1]);
        assert_eq!(model.predict(&row), Ok(Some(likeliest)), "{all:?}");
        assert_eq!(all[2], 0.0);
    }
    let (left, middle, right) = (shares(&[0.1, 0.5]), shares(&[0.5, 0.5]), shares(&[0.9, 0.5]));
    assert!(left[0] > 0.95 && right[1] > 0.95 && middle[0] < left[0] && middle[1] < right[1]);
    assert!(model.share(&[0.1], 0).is_err() && model.share(&[0.1, f64::NAN], 0).is_err());
    assert_eq!(model.share(&[0.1, 0.5], 9), Ok(Some(0.0)), "nobody votes for a class that there is not");
}

#[test]
fn refuses_what_means_nothing() {
    let options = tree::Options::new(2, 2);
    let refused = |options| HoeffdingTree::new(options).unwrap_err().to_string();
    assert_eq!(refused(tree::Options::new(0, 2)), "0 features and 2 classes; write 1 to 4096 of each");
    assert_eq!(refused(tree::Options { subset: Some(3), ..options }), "a subset of 3 of 2 features");
    assert_eq!(refused(tree::Options { delta: 0.0, ..options }), "delta 0 is out of its range");
    let mut model = HoeffdingTree::new(options).unwrap();
    let mut rng = Mersenne::new(1);
    let mut learn = |row: &[f64], label| model.learn(row, label, 1, &mut rng);
    assert_eq!(learn(&[1.0], 0), Err(tree::Error::Features { expected: 2, found: 1 }));
    assert_eq!(learn(&[1.0, 2.0], 2), Err(tree::Error::Label { label: 2, classes: 2 }));
    assert!(matches!(learn(&[1.0, f64::INFINITY], 0), Err(tree::Error::Value(_))));
    let forest = |change: fn(&mut forest::Options)| {
        let mut options = forest::Options::new(2, 2, 42);
        change(&mut options);
        AdaptiveForest::new(options).unwrap_err()
    };
    assert_eq!(forest(|options| options.trees = 0), forest::Error::Trees(0));
    assert_eq!(forest(|options| options.lambda = 0.0), forest::Error::Lambda(0.0));
    assert!(matches!(forest(|options| options.drift.delta = 2.0), forest::Error::Detector(_)));
}
