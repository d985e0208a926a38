//! SQLite's file layer with faults in it: every operation goes to the default layer of the system, unless
//! [`fault`] says otherwise; [`power`] is told what was done.
//!
//! It becomes the default of the whole process, so only a process of its own should [`install`] it.

#![allow(unsafe_code, reason = "SQLite's file layer is a table of C functions")]

use std::{
    ffi::{CStr, OsStr, c_char, c_int, c_void},
    mem::size_of,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    ptr,
    sync::Once,
};

use es_sqlite::rusqlite::ffi;

use crate::{
    fault::{self, Fault, Operation},
    power,
};

/// Makes this layer the default one of the process.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: SQLite is initialized before its default layer is asked for. That one lives as long as the process,
        // and so does ours, which is leaked.
        unsafe {
            assert_eq!(ffi::sqlite3_initialize(), ffi::SQLITE_OK);
            let system = ffi::sqlite3_vfs_find(ptr::null());
            assert!(!system.is_null(), "SQLite has a file layer");
            let own = c_int::try_from(size_of::<File>()).expect("a file of ours is small");
            let layer = ffi::sqlite3_vfs {
                iVersion: 2,
                szOsFile: own + (*system).szOsFile,
                mxPathname: (*system).mxPathname,
                pNext: ptr::null_mut(),
                zName: c"faulty".as_ptr(),
                pAppData: system.cast(),
                xOpen: Some(open),
                xDelete: Some(delete),
                xAccess: Some(access),
                xFullPathname: Some(full_pathname),
                xDlOpen: None,
                xDlError: None,
                xDlSym: None,
                xDlClose: None,
                xRandomness: Some(randomness),
                xSleep: Some(sleep),
                xCurrentTime: Some(current_time),
                xGetLastError: Some(get_last_error),
                xCurrentTimeInt64: Some(current_time_int64),
                xSetSystemCall: None,
                xGetSystemCall: None,
                xNextSystemCall: None,
            };
            assert_eq!(ffi::sqlite3_vfs_register(Box::leak(Box::new(layer)), 1), ffi::SQLITE_OK);
        }
    });
}

/// An open file. SQLite gives the memory; the system's own file comes right behind this one.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    /// A leaked box until the file is closed; null for one without a name.
    path: *mut PathBuf,
}

/// What SQLite reports of an operation that failed.
fn code(operation: Operation, fault: Fault) -> c_int {
    match (operation, fault) {
        (Operation::Write, Fault::Enospc) => ffi::SQLITE_FULL,
        (Operation::Read, _) => ffi::SQLITE_IOERR_READ,
        (Operation::Open | Operation::Create, _) => ffi::SQLITE_CANTOPEN,
        (Operation::Write, _) => ffi::SQLITE_IOERR_WRITE,
        (Operation::Truncate, _) => ffi::SQLITE_IOERR_TRUNCATE,
        (Operation::Sync, _) => ffi::SQLITE_IOERR_FSYNC,
        (Operation::Delete, _) => ffi::SQLITE_IOERR_DELETE,
        (Operation::Grow, _) => ffi::SQLITE_IOERR_SHMSIZE,
    }
}

/// The system's layer below ours.
///
/// # Safety
/// `layer` is the one that [`install`] made.
unsafe fn system(layer: *mut ffi::sqlite3_vfs) -> *mut ffi::sqlite3_vfs {
    unsafe { (*layer).pAppData.cast() }
}

/// The system's file behind ours.
///
/// # Safety
/// `file` was opened by [`open`].
unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    unsafe { file.cast::<File>().add(1).cast() }
}

/// Where a file is, if it has a name.
///
/// # Safety
/// `file` was opened by [`open`] and not closed yet.
unsafe fn path_of<'f>(file: *mut ffi::sqlite3_file) -> Option<&'f Path> {
    unsafe { (*file.cast::<File>()).path.as_ref().map(PathBuf::as_path) }
}

/// Calls a method of the system's file.
macro_rules! below {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        let real = real($file);
        ((*(*real).pMethods).$method.expect("the system's layer has it"))(real $(, $argument)*)
    }};
}

/// Functions of the layer, and methods of a file, that only pass on.
macro_rules! pass_on {
    (layer $($name:ident as $method:ident($($argument:ident: $type:ty),*);)*) => {$(
        unsafe extern "C" fn $name(layer: *mut ffi::sqlite3_vfs, $($argument: $type),*) -> c_int {
            unsafe {
                let system = system(layer);
                ((*system).$method.expect("the system's layer has it"))(system, $($argument),*)
            }
        }
    )*};
    (file $($name:ident as $method:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file, $($argument: $type),*) -> $answer {
            unsafe { below!(file, $method $(, $argument)*) }
        }
    )*};
}

pass_on! { layer
    access as xAccess(name: *const c_char, flags: c_int, answer: *mut c_int);
    full_pathname as xFullPathname(name: *const c_char, length: c_int, out: *mut c_char);
    randomness as xRandomness(length: c_int, out: *mut c_char);
    sleep as xSleep(microseconds: c_int);
    current_time as xCurrentTime(out: *mut f64);
    get_last_error as xGetLastError(length: c_int, out: *mut c_char);
    current_time_int64 as xCurrentTimeInt64(out: *mut i64);
}

pass_on! { file
    file_size as xFileSize(size: *mut i64) -> c_int;
    lock as xLock(level: c_int) -> c_int;
    unlock as xUnlock(level: c_int) -> c_int;
    check_reserved_lock as xCheckReservedLock(answer: *mut c_int) -> c_int;
    file_control as xFileControl(what: c_int, argument: *mut c_void) -> c_int;
    sector_size as xSectorSize() -> c_int;
    device_characteristics as xDeviceCharacteristics() -> c_int;
    shm_lock as xShmLock(offset: c_int, count: c_int, flags: c_int) -> c_int;
    shm_barrier as xShmBarrier() -> ();
    shm_unmap as xShmUnmap(delete: c_int) -> c_int;
    fetch as xFetch(offset: i64, amount: c_int, out: *mut *mut c_void) -> c_int;
    unfetch as xUnfetch(offset: i64, page: *mut c_void) -> c_int;
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 3,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: Some(fetch),
    xUnfetch: Some(unfetch),
};

unsafe extern "C" fn open(
    layer: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite hands over memory of the size that the layer asked for, and a name that outlives the file.
    unsafe {
        // Without methods, SQLite does not close what was never opened.
        (*file).pMethods = ptr::null();
        let operation = if flags & ffi::SQLITE_OPEN_CREATE == 0 { Operation::Open } else { Operation::Create };
        if let Some(fault) = fault::of(operation) {
            return code(operation, fault);
        }
        let system = system(layer);
        let opened = ((*system).xOpen.expect("the system's layer has it"))(system, name, real(file), flags, out_flags);
        if (*real(file)).pMethods.is_null() {
            return opened;
        }
        let path = (!name.is_null()).then(|| path_at(name));
        if let Some(path) = &path {
            power::opened(path);
        }
        (*file.cast::<File>()).path = path.map_or(ptr::null_mut(), |path| Box::into_raw(Box::new(path)));
        (*file).pMethods = &raw const METHODS;
        opened
    }
}

unsafe fn path_at(name: *const c_char) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()))
}

unsafe extern "C" fn delete(layer: *mut ffi::sqlite3_vfs, name: *const c_char, _sync: c_int) -> c_int {
    if let Some(fault) = fault::of(Operation::Delete) {
        return code(Operation::Delete, fault);
    }
    unsafe {
        let system = system(layer);
        let deleted = ((*system).xDelete.expect("the system's layer has it"))(system, name, 0);
        if deleted == ffi::SQLITE_OK {
            power::deleted(&path_at(name));
        }
        deleted
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    unsafe {
        let closed = below!(file, xClose);
        let ours = file.cast::<File>();
        let path = ptr::replace(&raw mut (*ours).path, ptr::null_mut());
        if !path.is_null() {
            drop(Box::from_raw(path));
        }
        closed
    }
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, to: *mut c_void, amount: c_int, offset: i64) -> c_int {
    match fault::of(Operation::Read) {
        Some(fault) => code(Operation::Read, fault),
        None => unsafe { below!(file, xRead, to, amount, offset) },
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, amount: c_int, offset: i64) -> c_int {
    let fault = fault::of(Operation::Write);
    let amount = match fault {
        Some(Fault::Short) => amount / 2,
        Some(fault) => return code(Operation::Write, fault),
        None => amount,
    };
    unsafe {
        let written = below!(file, xWrite, from, amount, offset);
        if let (ffi::SQLITE_OK, Some(path), Ok(length)) = (written, path_of(file), usize::try_from(amount)) {
            power::wrote(path, offset, std::slice::from_raw_parts(from.cast(), length));
        }
        fault.map_or(written, |fault| code(Operation::Write, fault))
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    if let Some(fault) = fault::of(Operation::Truncate) {
        return code(Operation::Truncate, fault);
    }
    unsafe {
        let truncated = below!(file, xTruncate, length);
        if let (ffi::SQLITE_OK, Some(path)) = (truncated, path_of(file)) {
            power::truncated(path, length);
        }
        truncated
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    if let Some(fault) = fault::of(Operation::Sync) {
        return code(Operation::Sync, fault);
    }
    unsafe {
        // The device itself is left alone: no test cuts its power, and it takes most of the time.
        if let Some(path) = path_of(file) {
            power::synced(path);
        }
        ffi::SQLITE_OK
    }
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    page: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    if extend != 0
        && let Some(fault) = fault::of(Operation::Grow)
    {
        return code(Operation::Grow, fault);
    }
    unsafe { below!(file, xShmMap, page, size, extend, out) }
}
