/**
 * A token may be issued up to this long after its revocation was committed, when both race; seconds. The
 * owner of the log adds it to the retention, and readers subtract it from the lifetime that the retention
 * covers.
 */
export const raceSeconds = 5;
