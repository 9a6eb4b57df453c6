//! `spandrel serve`: figures about all processes under Spandrel for programs that collect them, over HTTP or by a file.

use crate::output::say;
use crate::serve::{self, Address, Detail, Site, TextFile};
use crate::signals::Held;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

const DEFAULT: &str = "127.0.0.1:9317";

/// Where figures go, and which.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// Where to listen: ADDRESS:PORT or unix:PATH (default: 127.0.0.1:9317, or nowhere with --textfile)
    #[arg(long, value_name = "ADDRESS", value_parser = Address::parse)]
    listen: Option<Address>,
    /// Allow an ADDRESS that other machines can reach; everyone there can then read everything
    #[arg(long, requires = "listen")]
    expose_to_network: bool,
    /// The permissions of the socket at unix:PATH
    #[arg(long, value_name = "MODE", value_parser = permissions, default_value = "600")]
    socket_mode: u32,
    /// Write metrics to this file, which ends with .prom, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,
    /// Seconds between two updates of the file
    #[arg(long, value_name = "SECONDS", default_value_t = 15.0, value_parser = seconds)]
    every: f64,
    /// Write the file once and end
    #[arg(long, requires = "textfile", conflicts_with = "listen")]
    once: bool,
    /// Add metrics of each size class: some 1700 series for each process
    #[arg(long)]
    classes: bool,
    /// Add metrics of threads: 6 series for each of the first 64 of a process
    #[arg(long)]
    threads: bool,
    /// Serve no heap profiles, whose call stacks reveal much about a program
    #[arg(long)]
    no_profiles: bool,
    /// Print the answer about the heap profile of this process (the server asks another process of this command)
    #[arg(long, hide = true, value_name = "PID", exclusive = true)]
    heap_of: Option<u32>,
}

fn permissions(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "takes permissions as chmod does, such as 660".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    const RANGE: std::ops::RangeInclusive<f64> = 1.0..=86400.0;
    let number = text.parse().ok().filter(|number| RANGE.contains(number));
    number.ok_or_else(|| format!("takes {} to {} seconds", RANGE.start(), RANGE.end()))
}

/// Serves until a signal ends it.
///
/// # Errors
/// Where the address is refused or taken, or the file cannot be written.
pub(crate) fn execute(request: &Request) -> Result<()> {
    if let Some(id) = request.heap_of {
        return serve::print_heap(id);
    }
    let file = request.textfile.as_deref().map(TextFile::at).transpose()?;
    let address = match (&request.listen, &file) {
        (Some(address), _) => Some(address.clone()),
        (None, Some(_)) => None,
        (None, None) => Address::parse(DEFAULT).ok(),
    };
    if let Some(address) = &address {
        address.check(request.expose_to_network)?;
    }
    let detail = Detail { classes: request.classes, threads: request.threads };
    let site = Arc::new(Site::new(detail, !request.no_profiles, !request.expose_to_network));
    if let Some(file) = file.as_ref().filter(|_| request.once) {
        return file.write(&site.textfile()?);
    }
    // Threads inherit that signals are held back, so all of them come to this one.
    let mut signals = Held::begin()?;
    if let Some(file) = &file {
        file.write(&site.textfile()?)?;
    }
    let listener = address.map(|address| address.listen(request.socket_mode)).transpose()?;
    // Whether the file is gone for good.
    let is_over = Arc::new(Mutex::new(false));
    if let Some(file) = file.clone() {
        let (site, is_over) = (Arc::clone(&site), Arc::clone(&is_over));
        let every = Duration::from_secs_f64(request.every);
        thread::Builder::new().spawn(move || keep_fresh(&file, &site, every, &is_over))?;
    }
    let served = match &listener {
        Some(listener) => {
            say(&format!("listening on {}", listener.place()));
            serve::serve(listener, &site, &mut signals)
        }
        None => wait_for_end(&mut signals),
    };
    if let Some(file) = file {
        *is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        file.remove();
    }
    served
}

fn wait_for_end(signals: &mut Held) -> Result<()> {
    loop {
        if signals.next(None)?.is_some_and(serve::ends) {
            return Ok(());
        }
    }
}

/// Writes the file again and again. A failure is said once, until it works again.
fn keep_fresh(file: &TextFile, site: &Site, every: Duration, is_over: &Mutex<bool>) {
    let mut failed = false;
    loop {
        thread::sleep(every);
        let text = site.textfile();
        let is_over = is_over.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_over {
            return;
        }
        let written = text.and_then(|text| file.write(&text));
        if let Err(error) = &written
            && !failed
        {
            say(&format!("{error:#}"));
        }
        failed = written.is_err();
    }
}
