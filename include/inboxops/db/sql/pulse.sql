-- name: beat
-- The drain's time is asked from here on; that of a cell that stood still began again with it.
INSERT INTO pulse (cell, one, due_at, began_at, beat_at, drained_at, objects, events)
VALUES (%(cell)s, CASE WHEN %(cell)s::text = 'main' THEN true END, %(due_at)s, %(began_at)s, now(), now(), %(objects)s, %(events)s)
ON CONFLICT (cell) DO UPDATE
SET due_at = excluded.due_at, began_at = excluded.began_at, beat_at = now(), objects = excluded.objects, events = excluded.events,
    drained_at = CASE WHEN pulse.beat_at > now() - interval '5 minutes' THEN coalesce(pulse.drained_at, now()) ELSE now() END

-- name: triggered
-- Before the cell's first beat there is no row, and a minute later there is.
UPDATE pulse SET triggered_at = now() WHERE cell = %(cell)s

-- name: drained
UPDATE pulse SET drained_at = now() WHERE cell = %(cell)s

-- name: cells
SELECT c.cell, c.tenants, c.inboxes, c.due_at, c.began_at, c.objects, c.events, c.age_seconds, c.took_seconds, c.looked, c.overdue,
       extract(epoch FROM clock_timestamp() - p.triggered_at)::float8 AS triggered_seconds,
       extract(epoch FROM clock_timestamp() - p.drained_at)::float8 AS drained_seconds
FROM cells() c LEFT JOIN pulse p USING (cell) ORDER BY c.cell

-- name: on_duty
-- What is done once for all cells falls to the first of those with tenants whose tasks run and whose drain does; else to the first
-- of the others; where none does, to whoever asks. A new, empty one takes nothing over.
SELECT coalesce((
    SELECT cell FROM pulse p
    WHERE beat_at > now() - interval '5 minutes' AND drained_at > now() - interval '5 minutes' -- core.pulse.DRAIN_SECONDS
    ORDER BY NOT EXISTS (SELECT FROM tenants t WHERE t.cell = p.cell), cell LIMIT 1
), %(cell)s) = %(cell)s

-- name: metrics
SELECT name, labels, value FROM metrics()
UNION ALL
SELECT name, labels, value FROM certificate_metrics()
UNION ALL
SELECT name, labels, value FROM canary_metrics()
UNION ALL
SELECT name, labels, value FROM look_metrics()
UNION ALL
SELECT name, labels, value FROM departure_metrics()
