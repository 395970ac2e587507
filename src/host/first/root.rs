//! Finds the root that is asked for and mounts it, once its disks are there.

use std::path::Path;
use std::time::{Duration, Instant};

use super::events::Events;
use super::loader::Loader;
use super::voice::say;
use crate::error::{Error, ErrorKind, Result};
use crate::first::request::Request;
use crate::ops::{Imgbase, NotStarted, Start, Started};

/// So long disks have to come with the modules that they need for all that is known, before all
/// others are loaded.
const BEFORE_SPARE: Duration = Duration::from_secs(1);
/// After this time of waiting a word is said.
const BEFORE_WORD: Duration = Duration::from_secs(3);

/// What is needed to find a root.
pub(super) struct Seeker<'a, 'm> {
    pub(super) imgbase: &'a Imgbase<'m>,
    pub(super) request: &'a Request,
    pub(super) events: &'a mut Events,
    pub(super) loader: &'a mut Loader,
}

impl Seeker<'_, '_> {
    /// Mounts the root at that folder.
    pub(super) fn mount(&mut self, dir: &Path) -> Result<Started> {
        let mut start = self.wanted()?;
        let begin = Instant::now();
        let end = begin.checked_add(self.request.timeout).unwrap_or(begin);
        let mut told = false;
        loop {
            let error = match self.imgbase.start(&start, dir) {
                Err(NotStarted::NotYet(error)) if !start.without_missing => error,
                other => return Ok(other?),
            };
            let until = self.next_look(begin, told).min(end);
            if self.events.wait_for_disk(until)? {
                continue;
            }
            if self.loader.has_spare() {
                self.loader.load_spare();
            } else if Instant::now() >= end {
                // What is there may be enough.
                start.without_missing = true;
            } else {
                told = true;
                let seconds = self.request.timeout.as_secs();
                say::progress(&format!("waiting for the disks, {seconds} s at most: {error}"));
            }
        }
    }

    /// When there is something to do even where no disk comes.
    fn next_look(&self, begin: Instant, told: bool) -> Instant {
        let after = match (self.loader.has_spare(), told) {
            (true, _) => BEFORE_SPARE,
            (false, false) => BEFORE_WORD,
            (false, true) => self.request.timeout,
        };
        begin.checked_add(after).unwrap_or(begin)
    }

    fn wanted(&self) -> Result<Start> {
        let nothing = || {
            let why = "the command line names no root: img.bootid=LAYER or imgbase.root=VG/LV";
            Error::new(ErrorKind::Invalid, why).op("start")
        };
        Ok(Start {
            root: self.request.root.clone().ok_or_else(nothing)?,
            read_only: self.request.read_only,
            fs_type: self.request.fs_type.clone(),
            options: self.request.options.clone(),
            without_missing: false,
        })
    }
}

/// Takes a root back that cannot be used, so that another can be tried.
pub(super) fn put_back(imgbase: &Imgbase<'_>, started: &Started) {
    if let Err(error) = imgbase.put_back(started, Path::new(super::places::ROOT)) {
        say::warning(&error.to_string());
    }
}
