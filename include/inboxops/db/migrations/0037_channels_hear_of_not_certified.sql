-- A channel keeps the kinds that there were when it was made: who hears that mail is unaccounted for hears of inboxes that nobody could ask.
UPDATE notify_channels SET kinds = kinds || '{inbox_not_certified}'
WHERE 'mail_unaccounted' = ANY (kinds) AND NOT 'inbox_not_certified' = ANY (kinds);
