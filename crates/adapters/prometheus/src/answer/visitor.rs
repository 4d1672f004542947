//! The JSON of an answer, read without holding more of it than one series.

use std::fmt;

use kubewise_core::metric::ObjectLabels;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Collector, Head, Labels, Series, Text};

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum HeadKey {
    Status,
    Data,
    ErrorType,
    Error,
    Warnings,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum DataKey {
    ResultType,
    Result,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum SeriesKey {
    Metric,
    Value,
    #[serde(other)]
    Other,
}

/// `{"status": …, "data": …}`
pub(super) struct Response<'c, 'q, 'de>(pub(super) &'c mut Collector<'q, 'de>);

impl<'de> DeserializeSeed<'de> for Response<'_, '_, 'de> {
    type Value = Head;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Head, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Response<'_, '_, 'de> {
    type Value = Head;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `status` and `data`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Head, A::Error> {
        let mut head = Head::default();
        while let Some(key) = map.next_key()? {
            match key {
                HeadKey::Status => head.status = map.next_value()?,
                HeadKey::Data => head.result_type = map.next_value_seed(Data(self.0))?,
                HeadKey::ErrorType => head.error_type = map.next_value()?,
                HeadKey::Error => head.error = map.next_value()?,
                HeadKey::Warnings => {
                    head.warnings = map.next_value::<Option<Vec<String>>>()?.unwrap_or_default();
                }
                HeadKey::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(head)
    }
}

/// `{"resultType": …, "result": …}`, or `null` beside an error. Yields the type.
struct Data<'c, 'q, 'de>(&'c mut Collector<'q, 'de>);

impl<'de> DeserializeSeed<'de> for Data<'_, '_, 'de> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Data<'_, '_, 'de> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `resultType` and `result`")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut result_type = None;
        while let Some(key) = map.next_key()? {
            match key {
                DataKey::ResultType => result_type = map.next_value()?,
                DataKey::Result => map.next_value_seed(Items(self.0))?,
                DataKey::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(result_type)
    }
}

/// The list of series of a vector, or the pair of time and value of a scalar. The shape decides, since the type
/// may come later.
struct Items<'c, 'q, 'de>(&'c mut Collector<'q, 'de>);

impl<'de> DeserializeSeed<'de> for Items<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Item(self.0))?.is_some() {}
        Ok(())
    }
}

/// One series of a vector, or half a scalar.
struct Item<'c, 'q, 'de>(&'c mut Collector<'q, 'de>);

impl<'de> DeserializeSeed<'de> for Item<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a series with `metric` and `value`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let collector = self.0;
        collector.taken += 1;
        if collector.taken > collector.bounds.max_samples {
            collector.too_many = true;
            return Err(A::Error::custom("too many samples"));
        }
        let mut series = Series::default();
        while let Some(key) = map.next_key()? {
            match key {
                SeriesKey::Metric => series.labels = map.next_value_seed(Wanted(&collector.query.labels))?,
                SeriesKey::Value => series.value = Some(map.next_value()?),
                SeriesKey::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        collector.take(series);
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.0.scalar = true;
        self.0.dropped.unidentified += 1;
        Ok(())
    }
}

/// `{"namespace": …, …}`: reads the labels that the query names and passes over the others.
struct Wanted<'q>(&'q ObjectLabels);

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Labels<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Labels<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Labels<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of labels")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels<'de>, A::Error> {
        let mut labels = Labels::default();
        while let Some(Text(key)) = map.next_key()? {
            let is = |label: &Option<String>| label.as_deref() == Some(key.as_ref());
            let wanted = [
                (is(&self.0.namespace), &mut labels.namespace),
                (self.0.name == key, &mut labels.name),
                (is(&self.0.container), &mut labels.container),
                (is(&self.0.detail), &mut labels.detail),
            ];
            if wanted.iter().all(|(wanted, _)| !wanted) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let Text(value) = map.next_value()?;
            // To Prometheus an empty label is none.
            for (_, place) in wanted.into_iter().filter(|(wanted, _)| *wanted && !value.is_empty()) {
                *place = Some(value.clone());
            }
        }
        Ok(labels)
    }
}
