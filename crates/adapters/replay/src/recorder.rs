//! Writes the format that is read here.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use kubewise_core::document::Document;
use kubewise_core::event::EventRecord;
use kubewise_core::metric::NormalizedMetric;
use kubewise_core::unit::{SOURCE_UNITS, Unit};
use kubewise_core::{Kind, ObjectRef, Timestamp, Uid};
use serde_json::{Value, json};

use crate::csv::{COLUMNS, quoted};
use crate::error::Error;

type Packed = GzEncoder<BufWriter<File>>;

fn create(path: &Path) -> io::Result<Packed> {
    Ok(GzEncoder::new(BufWriter::new(File::create(path)?), Compression::fast()))
}

/// A CSV file of samples, gzip.
#[derive(Debug)]
pub struct SampleFile {
    path: PathBuf,
    file: Packed,
}

impl SampleFile {
    /// Begins the file anew. Its name should end in `.csv.gz`.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let wrong = |source| Error::Write { path: path.to_owned(), source };
        let mut file = create(path).map_err(wrong)?;
        writeln!(file, "{}", COLUMNS.join(",")).map_err(wrong)?;
        Ok(SampleFile { path: path.to_owned(), file })
    }

    pub fn write(&mut self, sample: &NormalizedMetric) -> Result<(), Error> {
        let NormalizedMetric { object, container, detail, metric_type, unit, value, time, .. } = sample;
        let text = |text: Option<&str>| quoted(text.unwrap_or_default());
        writeln!(
            self.file,
            "{time},{},{value},{},{},{},{},{},{}",
            quoted(metric_type.as_str()),
            name_of(*unit),
            text(object.namespace.as_deref()),
            quoted(object.kind.as_str()),
            quoted(&object.name),
            text(container.as_deref()),
            text(detail.as_deref()),
        )
        .map_err(|source| Error::Write { path: self.path.clone(), source })
    }

    /// Nothing is surely in the file before this.
    pub fn finish(self) -> Result<(), Error> {
        let wrong = |source| Error::Write { path: self.path, source };
        self.file.finish().and_then(|mut file| file.flush()).map_err(wrong)
    }
}

fn name_of(unit: Unit) -> &'static str {
    SOURCE_UNITS
        .iter()
        .find(|(_, one)| one.base == unit && one.factor == 1.0)
        .map_or("count", |(name, _)| name)
}

/// A folder with samples, and with objects and Events as they came.
#[derive(Debug)]
pub struct Recorder {
    samples: SampleFile,
    path: PathBuf,
    objects: Packed,
}

impl Recorder {
    /// Writes `samples.csv.gz` and `objects.jsonl.gz` into a folder, which is made if need be.
    pub fn create(folder: &Path) -> Result<Self, Error> {
        let wrong = |source| Error::Write { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(wrong)?;
        let path = folder.join("objects.jsonl.gz");
        let objects = create(&path).map_err(|source| Error::Write { path: path.clone(), source })?;
        Ok(Recorder { samples: SampleFile::create(&folder.join("samples.csv.gz"))?, path, objects })
    }

    pub fn sample(&mut self, sample: &NormalizedMetric) -> Result<(), Error> {
        self.samples.write(sample)
    }

    pub fn applied(&mut self, time: Timestamp, document: &Document) -> Result<(), Error> {
        self.line(&json!({ "time": time, "type": "MODIFIED", "object": document.0 }))
    }

    pub fn deleted(&mut self, time: Timestamp, object: &ObjectRef, uid: &Uid) -> Result<(), Error> {
        let api = object.kind.api().map(|api| api.api_version()).unwrap_or_default();
        let mut metadata = json!({ "name": object.name, "uid": uid });
        if let Some(namespace) = &object.namespace {
            metadata["namespace"] = json!(namespace);
        }
        let gone = json!({ "apiVersion": api, "kind": Kind::as_str(&object.kind), "metadata": metadata });
        self.line(&json!({ "time": time, "type": "DELETED", "object": gone }))
    }

    pub fn event(&mut self, event: &EventRecord) -> Result<(), Error> {
        let value = serde_json::to_value(event).map_err(|error| self.wrong(error.into()))?;
        self.line(&value)
    }

    /// Nothing is surely in the files before this.
    pub fn finish(self) -> Result<(), Error> {
        self.samples.finish()?;
        let wrong = |source| Error::Write { path: self.path, source };
        self.objects.finish().and_then(|mut file| file.flush()).map_err(wrong)
    }

    fn line(&mut self, value: &Value) -> Result<(), Error> {
        let written = writeln!(self.objects, "{value}");
        written.map_err(|source| self.wrong(source))
    }

    fn wrong(&self, source: io::Error) -> Error {
        Error::Write { path: self.path.clone(), source }
    }
}
