-- name: beat
INSERT INTO pulse (cell, one, due_at, began_at, beat_at, objects, events)
VALUES (%(cell)s, CASE WHEN %(cell)s::text = 'main' THEN true END, %(due_at)s, %(began_at)s, now(), %(objects)s, %(events)s)
ON CONFLICT (cell) DO UPDATE
SET due_at = excluded.due_at, began_at = excluded.began_at, beat_at = now(), objects = excluded.objects, events = excluded.events

-- name: cells
SELECT cell, tenants, inboxes, due_at, began_at, objects, events, age_seconds, took_seconds, looked, overdue FROM cells()

-- name: on_duty
-- What is done once for all cells falls to the first of those that beat; where none does, to whoever asks.
SELECT coalesce((SELECT min(cell) FROM pulse WHERE beat_at > now() - interval '5 minutes'), %(cell)s) = %(cell)s

-- name: metrics
SELECT name, labels, value FROM metrics()
UNION ALL
SELECT name, labels, value FROM certificate_metrics()
UNION ALL
SELECT name, labels, value FROM canary_metrics()
UNION ALL
SELECT name, labels, value FROM look_metrics()
