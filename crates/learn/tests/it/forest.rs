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
