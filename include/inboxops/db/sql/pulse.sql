-- name: beat
INSERT INTO pulse (due_at, began_at, beat_at, objects, events)
VALUES (%(due_at)s, %(began_at)s, now(), %(objects)s, %(events)s)
ON CONFLICT (one) DO UPDATE
SET due_at = excluded.due_at, began_at = excluded.began_at, beat_at = now(), objects = excluded.objects, events = excluded.events

-- name: last_beat
SELECT due_at, began_at, objects, events,
    extract(epoch FROM clock_timestamp() - beat_at)::float AS age_seconds, extract(epoch FROM beat_at - began_at)::float AS took_seconds
FROM pulse

-- name: metrics
SELECT name, labels, value FROM metrics()
UNION ALL
SELECT name, labels, value FROM certificate_metrics()
UNION ALL
SELECT name, labels, value FROM canary_metrics()
UNION ALL
SELECT name, labels, value FROM look_metrics()
