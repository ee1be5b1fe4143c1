package compaction

// LowerCache makes merges keep so many bytes of decoded row groups, and so many row groups in columns at least,
// until restore.
func LowerCache(bytes, groups int) (restore func()) {
	bytesBefore, groupsBefore := cacheBytesMax, groupsMin
	cacheBytesMax, groupsMin = bytes, groups
	return func() { cacheBytesMax, groupsMin = bytesBefore, groupsBefore }
}
