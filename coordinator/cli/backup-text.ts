import type { BackupList } from '#coordinator/repair/backup-list.ts';

/** What a backup holds, in three lines. */
export function described({ pool, at, files }: BackupList): string {
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  return [
    `${pool.name.replaceAll(/\p{Cc}+/gu, ' ')} at A${pool.height.A} and B${pool.height.B} of ${new Date(at).toISOString()}`,
    `model root ${pool.root}, ${pool.journal.seq} journal entries up to ${pool.journal.head}`,
    `${files.length} files of ${bytes.toLocaleString('en')} bytes`,
  ].join('\n  ');
}
